package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/hookturn/hookturn/internal/audit"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/inspect"
	"github.com/hookturn/hookturn/internal/limit"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// hostile is a text of a user that would act on a page that does not escape it.
const hostile = `</pre><script>alert(1)</script><img src=x onerror="alert(2)">'"{{.}}`

// RunTool runs a command of the starter and returns its status and what it printed. TestMain sets it: the commands import this
// package.
var RunTool func(ctx context.Context, env map[string]string, args ...string) (status int, printed string)

// tool runs a command of the starter on the rig's NATS server and reads its JSON document.
func (r *rig) tool(t *testing.T, into any, args ...string) {
	t.Helper()
	if cmd := args[0] + " " + args[1]; cmd != "bots show" { // the other commands connect
		args = append(args, "--connect-timeout", "1m")
	}
	status, printed := RunTool(t.Context(), map[string]string{"HOOKTURN_NATS_URL": r.url, "HOOKTURN_BOTS": r.bots},
		append(args, "--output", "json")...)
	require.Zero(t, status, "%v: %s", args, printed)
	require.NoError(t, json.Unmarshal([]byte(printed), into))
}

// write stores a dead letter.
func (r *rig) write(t *testing.T, sequence uint64, conversation, detail string, data []byte) {
	t.Helper()
	require.NoError(t, bus.NewDeadLetters(r.js, r.streams).Write(t.Context(), &bus.FailedEvent{
		BotID: shop, Conversation: conversation, Subject: schemas.Subject(schemas.SubjectEvents, shop.WithConversation(conversation)),
		Sequence: sequence, Data: data, Received: time.Now(),
	}, fault.New(fault.UnknownBot, "%s", detail)))
}

func rawEvent(t *testing.T, id, conversation string) []byte {
	t.Helper()
	raw, err := json.Marshal(eventOf(t, id, conversation, hostile))
	require.NoError(t, err)
	return raw
}

// TestPages_ShowWhatTheToolsPrint compares each page with the JSON document of the tool.
func TestPages_ShowWhatTheToolsPrint(t *testing.T) {
	t.Parallel()
	r := newConnectedRig(t)
	b := r.login(t, viewerToken)
	for n := range 3 {
		r.write(t, uint64(n+1), "c-1", "no bot file", rawEvent(t, fmt.Sprintf("e-%d", n), "c-1"))
	}
	disabled, err := json.Marshal(limit.StateChange{
		Endpoint: limit.Endpoint{BotID: shop, URL: orders}, State: limit.StateDisabled, Why: "answered 410",
	})
	require.NoError(t, err)
	require.NoError(t, store.NewEndpoints(r.streams).Tell(t.Context(), shop, orders, disabled))
	for _, pause := range [][]string{{"bots", "pause", "shop"}, {"endpoints", "pause", "https://shop.example/", "--bot", "shop"}} {
		var done any
		r.tool(t, &done, append(pause, "--actor", "zoe", "--reason", "rest & quiet", "--for", "1h", "--yes")...)
	}

	for path, args := range map[string][]string{
		"/deadletters": {"deadletters", "list"}, "/endpoints": {"endpoints", "list"}, "/bots": {"bots", "list"},
	} {
		var list []map[string]any
		r.tool(t, &list, args...)
		require.NotEmpty(t, list, path)
		text := textOf(b.page(t, path))
		for _, row := range list {
			for _, name := range []string{"sequence", "tenant", "bot", "url", "state", "until", "by", "reason", "detail", "bytes"} {
				if value, there := row[name]; there && name != "until" {
					require.Contains(t, text, fmt.Sprint(value), "%s: %s", path, name)
				}
			}
		}
	}
	var letter struct{ Data []byte }
	r.tool(t, &letter, "deadletters", "show", "1")
	require.Contains(t, textOfPre(b.page(t, "/deadletters/1")), string(letter.Data))
	require.Equal(t, http.StatusNotFound, b.get("/deadletters/99").Code)
	require.Equal(t, http.StatusNotFound, b.get("/deadletters/x").Code)

	var addresses map[string]any
	r.tool(t, &addresses, "bots", "show", "shop")
	text := b.page(t, "/bot?tenant=default&bot=shop")
	for _, s := range addresses["steps"].([]any) {
		address := s.(map[string]any)["url"].(string)
		require.Contains(t, text, strings.SplitN(address, "?", 2)[0])
	}
	require.NotContains(t, text, "0123456789", "a query may hold a token")
	require.Equal(t, http.StatusNotFound, b.get("/bot?tenant=default&bot=bank").Code)
}

// textOfPre returns the text of the last preformatted block of a page.
func textOfPre(page string) string {
	_, text, _ := strings.Cut(page[strings.LastIndex(page, "<pre"):], ">")
	text, _, _ = strings.Cut(text, "</pre>")
	return textOf(text)
}

func TestPages_Conversations(t *testing.T) {
	t.Parallel()
	r := newConnectedRig(t)
	b := r.login(t, viewerToken)
	key := shop.WithConversation("c 1&x")
	r.hasRun(t, key, eventOf(t, "e-1", key.Conversation, "where is my order?"))
	r.replied(t, key, schemas.StepReplied{
		EventID: "e-1", Step: "ORDER", Outcome: schemas.OutcomeBotBreak, Error: &schemas.Error{Kind: "status", Message: "answered 500"},
		Messages: []schemas.Message{schemas.Text("try later")},
		Attempts: []schemas.Attempt{{N: 1, URL: orders + "?key=0123456789", Status: 500, TotalMs: 12}},
	})
	list := b.page(t, "/conversations?tenant=default&bot=shop&user=user-7&conversation=c+1%26x&outcome=success&since=24h")
	require.Contains(t, textOf(list), "c 1&x default shop user-7 running")
	asked := r.temporal.Calls[0].Arguments.Get(1).(*workflowservice.ListWorkflowExecutionsRequest)
	for _, term := range []string{"HookturnTenant = 'default'", "HookturnBot = 'shop'", "HookturnUser = 'user-7'", "'c 1&x'", "HookturnOutcome = 'success'", "CloseTime >= "} {
		require.Contains(t, asked.GetQuery(), term)
	}
	require.Contains(t, list, `href="/conversation?bot=shop&amp;conversation=c&#43;1%26x&amp;tenant=default"`)

	shown := textOf(b.page(t, conversationLink(key)))
	for _, text := range []string{
		"step.requested ORDER e-1", `user: {"text":"where is my order?"}`, "step.replied: bot_break (status)", "answered 500",
		"attempt 1 at ", "https://shop.example/orders, 500, 12 ms", "the user read: try later",
	} {
		require.Contains(t, shown, text)
	}
	require.Contains(t, b.page(t, conversationLink(key)), "https://temporal.example/namespaces/default/workflows/conversation%2Fdefault%2Fshop%2F")
	require.NotContains(t, shown, "0123456789")

	steps := b.page(t, "/steps?tenant=default&bot=shop&step=ORDER&kind=status&reason=bot_break&since=1h")
	require.Contains(t, textOf(steps), "default shop c 1&x ORDER e-1 bot_break status answered 500 0")
	require.Contains(t, b.page(t, "/steps?kind=timeout"), "No steps match.")
	for _, path := range []string{
		"/conversations?tenant=a.b", "/steps?since=yesterday", "/deadletters?after=x", "/conversation?bot=shop&conversation=c",
		"/conversation?tenant=default&bot=shop",
	} {
		require.Equal(t, http.StatusBadRequest, b.get(path).Code, path)
	}
}

func TestPages_UnknownConversation(t *testing.T) {
	t.Parallel()
	r := newConnectedRig(t)
	r.temporal.On("ListWorkflow", mock.Anything, mock.Anything).Return(&workflowservice.ListWorkflowExecutionsResponse{}, nil)
	require.Equal(t, http.StatusNotFound, r.login(t, viewerToken).get(conversationLink(shop.WithConversation("c"))).Code)
}

// TestPages_HostileText writes markup wherever users, endpoints and engines write text.
func TestPages_HostileText(t *testing.T) {
	t.Parallel()
	r := newConnectedRig(t)
	b := r.login(t, ownerToken)
	key := shop.WithConversation(hostile)
	r.hasRun(t, key, eventOf(t, "e<script>", hostile, hostile))
	r.replied(t, key, schemas.StepReplied{
		EventID: "e<script>", Step: "<script>", Outcome: schemas.OutcomeBotBreak, Error: &schemas.Error{Kind: "status", Message: hostile},
		Messages: []schemas.Message{schemas.Text(hostile), {Type: schemas.MessageHSL, HSL: must(json.Marshal(map[string]string{"type": hostile}))}},
		Attempts: []schemas.Attempt{{N: 1, URL: hostile, Error: hostile}},
	})
	r.write(t, 1, "c-1", hostile, []byte(hostile))
	r.write(t, 2, "c-1", hostile, append([]byte(hostile), 0xff))
	require.NoError(t, store.NewPauses(r.streams).Put(t.Context(), store.Pause{BotID: shop, Reason: hostile, By: hostile}))
	require.NoError(t, store.NewPauses(r.streams).Put(t.Context(), store.Pause{BotID: shop, URL: orders, Reason: hostile}))
	query := url.Values{"reason": {hostile}, "user": {hostile}, "conversation": {hostile}, "step": {hostile}, "kind": {hostile}}.Encode()
	for _, path := range []string{
		"/conversations", conversationLink(key), "/steps", "/deadletters", "/deadletters/1", "/deadletters/2", "/endpoints", "/bots",
		"/conversations?" + query, "/steps?" + query, "/deadletters?" + query,
		"/do/bot_pause?tenant=default&bot=shop&" + query, link("/do/conversations_cancel", ownedBy(shop, "conversation", hostile)...),
	} {
		page := b.page(t, path)
		require.NotContains(t, page, "<script", path)
		require.NotContains(t, page, "<img", path)
		require.NotContains(t, page, `onerror="`, path)
	}
	require.Contains(t, b.page(t, conversationLink(key)), "&lt;script&gt;alert(1)")
	for _, path := range []string{"/do/" + url.PathEscape(hostile), "/deadletters/" + url.PathEscape(hostile), "/bot?tenant=" + url.QueryEscape(hostile)} {
		w := b.get(path)
		require.GreaterOrEqual(t, w.Code, 400)
		require.NotContains(t, w.Body.String(), "<script", path)
	}
	b.sessions.notify(b.cookie.Value, hostile)
	require.NotContains(t, b.page(t, "/bots"), "<script")
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func TestPages_HundredRows(t *testing.T) {
	t.Parallel()
	r := newConnectedRig(t)
	b := r.login(t, viewerToken)
	key := shop.WithConversation("c-1")
	for n := range rowsMax + 5 {
		r.write(t, uint64(n+1), "c-1", "no bot file", []byte("{}"))
		r.replied(t, key, schemas.StepReplied{EventID: fmt.Sprintf("e-%d", n), Step: "ORDER", Outcome: schemas.OutcomeFailure})
		require.NoError(t, store.NewPauses(r.streams).Put(t.Context(), store.Pause{BotID: shop, URL: fmt.Sprintf("%s/%d", orders, n)}))
		require.NoError(t, store.NewPauses(r.streams).Put(t.Context(), store.Pause{
			BotID: schemas.BotID{Tenant: "default", Bot: fmt.Sprintf("bot-%d", n)},
		}))
	}
	r.temporal.On("ListWorkflow", mock.Anything, mock.Anything).Return(&workflowservice.ListWorkflowExecutionsResponse{}, nil)
	for path, last := range map[string]int{"/deadletters": 5, "/steps": 5, "/endpoints": 5, "/bots": 6} {
		first := b.page(t, path)
		require.Equal(t, rowsMax+1, strings.Count(first, "<tr>"), path)
		_, next, found := strings.Cut(first, `<p><a href="`)
		require.True(t, found, path)
		next, _, _ = strings.Cut(next, `"`)
		second := b.page(t, strings.ReplaceAll(next, "&amp;", "&"))
		require.Equal(t, last+1, strings.Count(second, "<tr>"), path)
		require.NotContains(t, second, "Next page")
	}
	latest := b.page(t, conversationLink(key))
	require.Equal(t, rowsMax, strings.Count(latest, "<section>"))
	require.Contains(t, latest, ">e-104<")
	require.Contains(t, latest, "Earlier events")
	earlier := b.page(t, link("/conversation", ownedBy(shop, "conversation", "c-1", "end", "5")...))
	require.Equal(t, 5, strings.Count(earlier, "<section>"))
	require.NotContains(t, earlier, "Earlier events")
}

func TestPages_TextsBounded(t *testing.T) {
	t.Parallel()
	r := newConnectedRig(t)
	b := r.login(t, viewerToken)
	r.write(t, 1, "c-1", "no bot file", bytes.Repeat([]byte("é"), payloadMax))
	page := b.page(t, "/deadletters/1")
	require.Contains(t, page, fmt.Sprintf("… (%d bytes more)", payloadMax))
	require.Less(t, len(page), payloadMax+8<<10)
	require.Equal(t, "é… (2 bytes more)", cut("éé", 3))

	left := budget{bytes: pageMax}
	shown := 0
	for range 2000 {
		shown += len(left.text(strings.Repeat("x", 10<<10)))
	}
	require.Less(t, shown, pageMax+2000*64)

	key := shop.WithConversation("c-2")
	r.temporal.On("ListWorkflow", mock.Anything, mock.Anything).Return(&workflowservice.ListWorkflowExecutionsResponse{}, nil)
	for n := range 2*replyMax/(512<<10) + 1 {
		r.replied(t, key, schemas.StepReplied{EventID: fmt.Sprintf("e-%d", n), Messages: []schemas.Message{schemas.Text(strings.Repeat("x", 512<<10))}})
	}
	page = b.page(t, conversationLink(key))
	require.Regexp(t, `\d\d earlier replies are left out`, page)
	require.Contains(t, page, ">e-32<")
	require.NotContains(t, page, ">e-1<")
}

func TestPages_ReplyLeftOut(t *testing.T) {
	t.Parallel()
	answered := inspect.Event{Result: &step.Result{Outcome: schemas.OutcomeSuccess, Attempts: 1}}
	for earlier, want := range map[int]string{
		0: "success after 1 attempts; the reply is not stored any more",
		1: "success after 1 attempts; the reply is left out, or not stored any more",
	} {
		left := budgetOf(&inspect.Conversation{LeftOut: earlier})
		require.Equal(t, want, left.event(answered).State)
	}
}

// auditLog keeps audit events in memory.
type auditLog struct {
	events []schemas.AuditEvent
	err    error
}

func (a *auditLog) Write(_ context.Context, e schemas.AuditEvent) error {
	a.events = append(a.events, e)
	return a.err
}

// TestPages_EncryptedHistories: an owner reads what encrypted histories have, after that is recorded; the others do not.
func TestPages_EncryptedHistories(t *testing.T) {
	t.Parallel()
	written := &auditLog{}
	reads := audit.NewReads(written, schemas.AuditPayloadsDecrypt, discardLogger)
	r := newConnectedRig(t, func(o *Options) { o.Reads = reads })
	key := shop.WithConversation("c-1")
	r.hasRun(t, key, eventOf(t, "e-1", key.Conversation, "my secret"))
	r.replied(t, key, schemas.StepReplied{EventID: "e-1", Outcome: schemas.OutcomeSuccess, Messages: []schemas.Message{schemas.Text("noted")}})
	for _, token := range []string{viewerToken, operatorToken} {
		page := r.login(t, token).page(t, conversationLink(key))
		require.NotContains(t, page, "my secret")
		require.Contains(t, page, "noted", "as the replies have it")
		require.Contains(t, page, "encrypted, and shown to the role owner only")
	}
	r.temporal.AssertNotCalled(t, "GetWorkflowHistory", mock.Anything, mock.Anything, mock.Anything, mock.Anything, mock.Anything)
	require.Empty(t, written.events)

	owner := r.login(t, ownerToken)
	written.err = errors.New("away")
	require.NotEqual(t, http.StatusOK, owner.get(conversationLink(key)).Code)
	r.temporal.AssertNotCalled(t, "GetWorkflowHistory", mock.Anything, mock.Anything, mock.Anything, mock.Anything, mock.Anything)
	written.err, written.events = nil, nil
	require.Contains(t, owner.page(t, conversationLink(key)), "my secret")
	require.NoError(t, reads.Close(t.Context()))
	require.Len(t, written.events, 2)
	last := written.events[1].Data
	require.Equal(t, schemas.AuditActor{Name: "carla", Role: "owner", Via: "console", From: "192.0.2.1"}, last.Actor)
	require.Equal(t, map[string]int{audit.CountRequests: 1, audit.CountPayloads: 1}, last.Counts)
	require.Equal(t, schemas.AuditPayloadsDecrypt, last.Action)
}
