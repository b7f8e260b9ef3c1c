package console

import (
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/inspect"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/internal/permissions"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// withoutActor returns what the audit events of two front ends have in common.
func withoutActor(list []schemas.AuditEvent) []schemas.Audited {
	var all []schemas.Audited
	for _, e := range list {
		d := e.Data
		d.Actor, d.Operation, d.Until = schemas.AuditActor{}, "", nil
		all = append(all, d)
	}
	return all
}

// TestActions_AsTheTools does the same with the tools and with the console, on two installations, and compares the audit events
// and what is stored.
func TestActions_AsTheTools(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tool []string
		form url.Values
		says string // on the page that asks for the confirmation
	}{
		"bot_pause": {
			[]string{"bots", "pause", "shop", "--for", "1h", "--reason", "rest"},
			url.Values{"tenant": {"default"}, "bot": {"shop"}, "for": {"1h"}, "reason": {"rest"}}, "pause bot shop of tenant default",
		},
		"bot_resume": {
			[]string{"bots", "resume", "shop"}, url.Values{"tenant": {"default"}, "bot": {"shop"}}, "resume bot shop of tenant default",
		},
		"endpoint_pause": {
			[]string{"endpoints", "pause", orders + "?key=1", "--bot", "shop"},
			url.Values{"tenant": {"default"}, "bot": {"shop"}, "url": {orders + "?key=1"}}, "pause endpoint " + orders + " of bot shop of tenant default",
		},
		"endpoint_resume": {
			[]string{"endpoints", "resume", orders, "--bot", "shop"},
			url.Values{"tenant": {"default"}, "bot": {"shop"}, "url": {orders}}, "resume endpoint " + orders,
		},
		"deadletters_replay": {
			[]string{"deadletters", "replay", "1"}, url.Values{"sequence": {"1"}}, "publish dead letter 1 again as an event of hookturn.events.default.shop.",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			byTool, r := newConnectedRig(t), newConnectedRig(t)
			for _, one := range []*rig{byTool, r} {
				one.write(t, 1, "c-1", "no bot file", rawEvent(t, "e-1", "c-1"))
				require.NoError(t, store.NewEndpoints(one.streams).Tell(t.Context(), shop, orders, []byte(`{}`)))
			}
			var printed any
			byTool.tool(t, &printed, append(c.tool, "--yes")...)

			b := r.login(t, operatorToken)
			asked := b.get("/do/" + name + "?" + c.form.Encode())
			require.Equal(t, http.StatusOK, asked.Code, asked.Body)
			require.Contains(t, textOf(asked.Body.String()), "This will "+c.says)
			require.Empty(t, r.audited(t), "the page only asks")
			done := b.post("/do/"+name, c.form)
			require.Equal(t, http.StatusSeeOther, done.Code, done.Body)
			require.Contains(t, textOf(b.page(t, done.Header().Get("Location"))), "Done: "+c.says)

			require.Equal(t, withoutActor(byTool.audited(t)), withoutActor(r.audited(t)))
			require.Equal(t, byTool.audited(t)[0].Subject, r.audited(t)[0].Subject)
			actor := r.audited(t)[0].Data.Actor
			require.NotEmpty(t, actor.NATSUser)
			actor.NATSUser = ""
			require.Equal(t, schemas.AuditActor{Name: "bob", Role: "operator", Via: "console", From: "192.0.2.1"}, actor)
			require.Equal(t, byTool.stored(t), r.stored(t))
		})
	}
}

// stored returns how many things of a kind the actions leave.
func (r *rig) stored(t *testing.T) map[string]int {
	t.Helper()
	letters, err := bus.NewDeadLetters(r.js, r.streams).List(t.Context(), bus.DeadLetterFilter{})
	require.NoError(t, err)
	pauses, err := store.NewPauses(r.streams).List(t.Context())
	require.NoError(t, err)
	states, err := store.NewEndpoints(r.streams).List(t.Context())
	require.NoError(t, err)
	info, err := must(r.js.Stream(t.Context(), schemas.StreamEvents)).Info(t.Context())
	require.NoError(t, err)
	paused := 0
	for _, p := range pauses {
		require.NotEmpty(t, p.By)
		if !p.Resumed {
			paused++
		}
	}
	return map[string]int{
		"letters": len(letters), "decisions": len(pauses), "paused": paused, "states": len(states), "events": int(info.State.Msgs),
	}
}

func TestActions_RepeatStep(t *testing.T) {
	t.Parallel()
	r := newConnectedRig(t)
	key := shop.WithConversation("c-1")
	r.hasRun(t, key, eventOf(t, "e-1", "c-1", "hello"))
	r.failed(t, key, "e-1")
	r.failed(t, key, "e-2")
	b := r.login(t, operatorToken)
	form := stepForm("1")
	require.Contains(t, b.page(t, "/steps"), "/do/steps_repeat?bot=shop&amp;conversation=c-1&amp;sequence=1&amp;tenant=default")
	require.Contains(t, textOf(b.page(t, "/do/steps_repeat?"+form.Encode())), "run step ORDER of event e-1 of conversation c-1 again")
	require.Equal(t, http.StatusSeeOther, b.post("/do/steps_repeat", form).Code)
	event, err := must(r.js.Stream(t.Context(), schemas.StreamEvents)).GetMsg(t.Context(), 1)
	require.NoError(t, err)
	again, err := schemas.DecodeEvent(event.Data)
	require.NoError(t, err)
	require.Equal(t, "e-1/r1", again.ID)
	list := r.audited(t)
	require.Len(t, list, 2)
	require.Equal(t, schemas.AuditStepsRepeat, list[0].Data.Action)
	require.Equal(t, map[string]string{"tenant": "default", "bot": "shop", "conversation": "(not recorded)", "step": "ORDER"}, list[0].Data.Filter)
	require.Equal(t, map[string]int{"failure": 1}, list[1].Data.Counts)

	require.Equal(t, http.StatusSeeOther, b.post("/do/steps_repeat", form).Code, "once more")
	form.Set("sequence", "2")
	w := b.post("/do/steps_repeat", form)
	require.Equal(t, http.StatusConflict, w.Code)
	require.Contains(t, w.Body.String(), "cannot be repeated: history_gone")
	form.Set("sequence", "7")
	require.Equal(t, http.StatusNotFound, b.post("/do/steps_repeat", form).Code)
	require.Len(t, r.audited(t), 4)
}

func TestActions_CancelConversation(t *testing.T) {
	t.Parallel()
	r := newConnectedRig(t)
	key := shop.WithConversation("c-1")
	r.hasRun(t, key)
	b := r.login(t, operatorToken)
	form := url.Values{"tenant": {"default"}, "bot": {"shop"}, "conversation": {"c-1"}}
	require.Contains(t, b.page(t, conversationLink(key)), "/do/conversations_cancel?bot=shop&amp;conversation=c-1&amp;tenant=default")
	require.Contains(t, textOf(b.page(t, "/do/conversations_cancel?"+form.Encode())),
		"cancel conversation c-1 of bot shop of tenant default: 1 open runs")
	r.temporal.On("CancelWorkflow", mock.Anything, "conversation/default/shop/c-1", "run-1").Return(errors.New("away")).Once()
	failed := b.post("/do/conversations_cancel", form)
	require.Equal(t, http.StatusInternalServerError, failed.Code)
	require.Contains(t, failed.Body.String(),
		"the action may have been done in part: look before you repeat it (cancelled: 0, not_cancelled: 1)")
	r.temporal.On("CancelWorkflow", mock.Anything, "conversation/default/shop/c-1", "run-1").Return(nil).Once()
	require.Equal(t, http.StatusSeeOther, b.post("/do/conversations_cancel", form).Code)
	r.temporal.AssertNumberOfCalls(t, "CancelWorkflow", 2)
	list := r.audited(t)
	require.Len(t, list, 4)
	require.Equal(t, []schemas.AuditResult{schemas.AuditFailed, schemas.AuditDone}, []schemas.AuditResult{list[1].Data.Result, list[3].Data.Result})
	require.Equal(t, map[string]int{"cancelled": 1, "not_cancelled": 0}, list[3].Data.Counts)
	require.Equal(t, []string{"run-1"}, list[2].Data.Objects)
	require.NotRegexp(t, `\bc-1\b`, string(must(schemas.Marshal(list))), "no id of a conversation")
}

// TestActions_ReplayOfKnownEvent: the conversation has answered the event of a dead letter, and would not answer it again.
func TestActions_ReplayOfKnownEvent(t *testing.T) {
	t.Parallel()
	r := newConnectedRig(t)
	key := shop.WithConversation("c-1")
	r.write(t, 1, "c-1", "no bot file", rawEvent(t, "e-1", "c-1"))
	letter, err := bus.NewDeadLetters(r.js, r.streams).Show(t.Context(), 1)
	require.NoError(t, err)
	require.NoError(t, bus.NewDeadLetters(r.js, r.streams).Write(t.Context(), &bus.FailedEvent{
		BotID: shop, Conversation: "c-1", Subject: letter.Subject, Sequence: 2, Data: letter.Data, Received: letter.Time,
	}, fault.New(fault.UnknownStep, "a test")))
	r.replied(t, key, schemas.StepReplied{
		EventID: "e-1", Outcome: schemas.OutcomeRejected, Workflow: schemas.WorkflowRef{ID: "w", RunID: "r"},
	})
	r.temporal.On("DescribeWorkflowExecution", mock.Anything, "w", mock.Anything).Return(
		&workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{FirstRunId: "r"}}, nil)
	w := r.login(t, operatorToken).post("/do/deadletters_replay", url.Values{"sequence": {"2"}})
	require.Equal(t, http.StatusConflict, w.Code, w.Body)
	require.Contains(t, textOf(w.Body.String()), inspect.Known)
	require.Empty(t, r.audited(t))
}

func TestActions_Unknown(t *testing.T) {
	t.Parallel()
	r := newConnectedRig(t)
	b := r.login(t, operatorToken)
	const bank = "tenant=default&bot=bank"
	for path, status := range map[string]int{
		"bot_pause?" + bank: http.StatusNotFound, "bot_resume?" + bank: http.StatusNotFound, "bot_pause?bot=shop": http.StatusBadRequest,
		"endpoint_pause?tenant=default&bot=shop&url=https://shop.example/ordres": http.StatusNotFound,
		"endpoint_pause?tenant=default&bot=shop":                                 http.StatusBadRequest,
		"bot_pause?tenant=default&bot=shop&for=-1h":                              http.StatusBadRequest,
		"deadletters_replay?sequence=1":                                          http.StatusNotFound,
		"conversations_cancel?tenant=default&bot=shop":                           http.StatusBadRequest,
	} {
		require.Equal(t, status, b.get("/do/"+path).Code, path)
	}
	require.NoError(t, store.NewPauses(r.streams).Put(t.Context(), store.Pause{BotID: schemas.BotID{Tenant: "default", Bot: "bank"}}))
	require.Equal(t, http.StatusOK, b.get("/do/bot_resume?"+bank).Code, "paused, without a bot file")
	require.Equal(t, http.StatusNotFound, b.get("/do/bot_pause?"+bank).Code)
	require.Empty(t, r.audited(t))
}

// TestActions_OfNATSUsers connects the console as users of the table of permissions.
func TestActions_OfNATSUsers(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, func(o *server.Options) {
		if err := o.ProcessConfigString(permissions.Accounts(permissions.Config{Password: strconv.Quote})); err != nil {
			t.Error(err)
		}
		o.Host, o.Port, o.JetStream, o.NoLog, o.NoSigs = "127.0.0.1", server.RANDOM_PORT, true, true, true
	})
	connect := func(user string) (bus.JetStream, bus.Streams) {
		u, ok := permissions.UserOf(user)
		require.True(t, ok)
		context := filepath.Join(t.TempDir(), user+".json")
		require.NoError(t, os.WriteFile(context, []byte(`{"url":"`+s.ClientURL()+`","user":"`+user+`","password":"`+user+
			`","jetstream_domain":"`+u.Domain()+`","inbox_prefix":"`+permissions.InboxPrefix(user)+`"}`), 0o600))
		login := natsclient.Login{Context: context}
		require.NoError(t, login.Check())
		nc, js, err := bus.Connect(t.Context(), login, t.Name(), discardLogger)
		require.NoError(t, err)
		t.Cleanup(nc.Close)
		streams, err := bus.Setup(t.Context(), js, bus.StreamOptions{Partitions: 1})
		require.NoError(t, err)
		return js, streams
	}
	connect(permissions.Setup) // creates the streams
	r := newRig(t)
	key := shop.WithConversation("c-1")
	r.hasRun(t, key, eventOf(t, "e-1", "c-1", "hello"))
	r.js, r.streams = connect(permissions.Starter)
	r.failed(t, key, "e-1")
	r.write(t, 1, "c-1", "no bot file", rawEvent(t, "e-9", "c-1"))

	r.Connect(connect(permissions.Look))
	b := r.login(t, operatorToken)
	pages := []string{"/conversations", conversationLink(key), "/steps", "/deadletters", "/deadletters/1", "/endpoints", "/bots"}
	for _, path := range pages {
		b.page(t, path)
	}
	form := url.Values{"tenant": {"default"}, "bot": {"shop"}}
	w := b.post("/do/bot_pause", form)
	require.Equal(t, http.StatusForbidden, w.Code)
	require.Contains(t, w.Body.String(), "nothing was changed: the NATS user of the console may not record this action")

	r.temporal.On("CancelWorkflow", mock.Anything, mock.Anything, mock.Anything).Return(nil)
	r.Connect(connect(permissions.Tools))
	for _, path := range pages {
		b.page(t, path)
	}
	for action, more := range map[string]url.Values{
		"bot_pause": {}, "bot_resume": {}, "endpoint_pause": {"url": {orders}}, "endpoint_resume": {"url": {orders}},
		"deadletters_replay": {"sequence": {"1"}}, "steps_repeat": {"conversation": {"c-1"}, "sequence": {"1"}},
		"conversations_cancel": {"conversation": {"c-1"}},
	} {
		more.Set("tenant", "default")
		more.Set("bot", "shop")
		w := b.post("/do/"+action, more)
		require.Equal(t, http.StatusSeeOther, w.Code, "%s: %s", action, w.Body)
	}
	r.Connect(connect(permissions.Starter))
	require.Equal(t, http.StatusForbidden, b.get("/endpoints").Code)
}
