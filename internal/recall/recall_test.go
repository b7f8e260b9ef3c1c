package recall

import (
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/mocks"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/proto"

	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// recorded returns the histories of the latest two formats, by name.
func recorded(t *testing.T) map[string]*historypb.History {
	t.Helper()
	all := map[string]*historypb.History{}
	for _, version := range []string{"v8", "v9"} {
		files, err := filepath.Glob(filepath.Join("..", "..", "workflows", "testdata", "histories", version, "*.json.gz"))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			all[version+"/"+strings.TrimSuffix(filepath.Base(file), ".json.gz")] = readHistory(t, file)
		}
	}
	return all
}

func readHistory(t *testing.T, file string) *historypb.History {
	t.Helper()
	compressed, err := os.Open(file)
	require.NoError(t, err)
	defer compressed.Close()
	raw, err := gzip.NewReader(compressed)
	require.NoError(t, err)
	history, err := client.HistoryFromJSON(raw, client.HistoryJSONOptions{})
	require.NoError(t, err)
	return history
}

func decode(t *testing.T, payloads *commonpb.Payloads, into any) {
	t.Helper()
	if len(payloads.GetPayloads()) > 0 {
		require.NoError(t, step.DataConverter().FromPayloads(payloads, into))
	}
}

// ended are the results of the events of a history, by the event's id.
func ended(t *testing.T, h *historypb.History) map[string]step.Result {
	t.Helper()
	asked, results := map[string]string{}, map[string]step.Result{}
	for _, e := range h.GetEvents() {
		var d step.Delivery
		var request step.Request
		var result step.Result
		started := e.GetWorkflowExecutionStartedEventAttributes()
		accepted := e.GetWorkflowExecutionUpdateAcceptedEventAttributes()
		completed := e.GetWorkflowExecutionUpdateCompletedEventAttributes()
		over := e.GetWorkflowExecutionCompletedEventAttributes()
		switch {
		case started.GetWorkflowType().GetName() == step.WorkflowStep:
			decode(t, started.GetInput(), &request)
			asked[""] = request.Delivery.Event.ID
		case accepted != nil && accepted.GetAcceptedRequest().GetInput().GetName() != step.UpdateCallback:
			decode(t, accepted.GetAcceptedRequest().GetInput().GetArgs(), &d)
			asked[accepted.GetAcceptedRequest().GetMeta().GetUpdateId()] = d.Event.ID
		case completed != nil && asked[completed.GetMeta().GetUpdateId()] != "":
			decode(t, completed.GetOutcome().GetSuccess(), &result)
			results[asked[completed.GetMeta().GetUpdateId()]] = result
		case over != nil && asked[""] != "":
			decode(t, over.GetResult(), &result)
			results[asked[""]] = result
		}
	}
	return results
}

// TestReplay_FindsEveryReply: of each event that a recorded run has answered, the reply that its result names is found, with
// the outcome of the result; and conversation.closed where it closed the conversation.
func TestReplay_FindsEveryReply(t *testing.T) {
	t.Parallel()
	found := 0
	for name, h := range recorded(t) {
		run, err := replay(h, workflow.Execution{ID: "w", RunID: "r"}, step.DataConverter())
		require.NoError(t, err, name)
		for event, result := range ended(t, h) {
			require.True(t, run.events[event], "%s: %s", name, event)
			replies := map[string]schemas.StepReplied{}
			var closed bool
			for _, reply := range run.of(event) {
				var data schemas.StepReplied
				require.NoError(t, json.Unmarshal(reply.Data, &data))
				_, twice := replies[reply.ID]
				require.False(t, twice, name)
				replies[reply.ID] = data
				closed = closed || reply.Type == schemas.TypeConversationClosed
			}
			require.True(t, closed || result.Closed == "", "%s: %s", name, event)
			if result.ReplyID == "" {
				continue
			}
			require.Contains(t, replies, result.ReplyID, "%s: %s", name, event)
			require.Equal(t, result.Outcome, replies[result.ReplyID].Outcome, "%s: %s", name, event)
			require.Equal(t, "w", replies[result.ReplyID].Workflow.ID, "%s: %s", name, event)
			found++
		}
	}
	require.Greater(t, found, 50)
}

// ends are the numbers of events that a history can have while its run goes on: the server writes those of one task at once.
func ends(h *historypb.History) (all []int) {
	for n, e := range h.GetEvents() {
		switch {
		case e.GetWorkflowTaskScheduledEventAttributes() != nil:
			all = append(all, n, n+1)
		case e.GetWorkflowTaskStartedEventAttributes() != nil:
			all = append(all, n+1)
		}
	}
	return append(all, len(h.GetEvents()))
}

// TestReplay_OfOpenRuns cuts the recorded histories off where a run may stand while it is read.
func TestReplay_OfOpenRuns(t *testing.T) {
	t.Parallel()
	for name, h := range recorded(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, n := range ends(h) {
				open := &historypb.History{Events: h.GetEvents()[:n]}
				if !decided(open) {
					continue
				}
				copied, _ := proto.Clone(open).(*historypb.History)
				run, err := replay(copied, workflow.Execution{}, step.DataConverter())
				require.NoError(t, err, "of %d events", n)
				for event, result := range ended(t, open) {
					require.True(t, run.events[event], "of %d events: %s", n, event)
					require.True(t, result.ReplyID == "" || len(run.of(event)) > 0, "of %d events: %s", n, event)
				}
			}
		})
	}
}

// histories is a server that keeps some histories, by run.
func histories(t *testing.T, kept map[string]*historypb.History, fail error) *Recall {
	t.Helper()
	c := mocks.NewClient(t)
	c.On("GetWorkflowHistory", mock.Anything, "w", mock.Anything, false, mock.Anything).Return(
		func(_ context.Context, _, run string, _ bool, _ enumspb.HistoryEventFilterType) client.HistoryEventIterator {
			i := &mocks.HistoryEventIterator{}
			h, ok := kept[run]
			if !ok {
				i.On("HasNext").Return(true)
				i.On("Next").Return(nil, fail)
				return i
			}
			for _, e := range h.GetEvents() {
				i.On("HasNext").Return(true).Once()
				i.On("Next").Return(e, nil).Once()
			}
			i.On("HasNext").Return(false)
			return i
		})
	return New(c, step.DataConverter(), slog.New(slog.DiscardHandler))
}

// named returns a recorded history and one of the events that it answers with success.
func named(t *testing.T, name string) (h *historypb.History, event string, result step.Result) {
	t.Helper()
	h = readHistory(t, filepath.Join("..", "..", "workflows", "testdata", "histories", "v8", name+".json.gz"))
	for event, result = range ended(t, h) {
		if result.Outcome == schemas.OutcomeSuccess {
			return h, event, result
		}
	}
	require.Fail(t, "the history answers no event")
	return h, event, result
}

func TestPublished_FoundOrLost(t *testing.T) {
	t.Parallel()
	h, event, result := named(t, "activity")
	later, _, _ := named(t, "success")
	later.GetEvents()[0].GetWorkflowExecutionStartedEventAttributes().ContinuedExecutionRunId = "first"
	broken, _ := proto.Clone(h).(*historypb.History)
	for _, e := range broken.GetEvents() {
		if a := e.GetActivityTaskScheduledEventAttributes(); a != nil {
			a.ActivityType.Name = "OfAnotherRelease"
		}
	}
	type kept = map[string]*historypb.History
	for name, c := range map[string]struct {
		kept kept
		run  string
		fail error
		ids  []string
		lost bool
	}{
		"run":                              {kept: kept{"first": h}, run: "first", ids: []string{result.ReplyID}},
		"run that was continued":           {kept: kept{"first": h, "second": later}, run: "second", ids: []string{result.ReplyID}},
		"run of another event":             {kept: kept{"first": later}, run: "first", lost: true},
		"run that is not kept":             {run: "first", lost: true},
		"continued, first run is not kept": {kept: kept{"second": later}, run: "second", lost: true},
		"another release":                  {kept: kept{"first": broken}, run: "first", lost: true},
		"run without a finished task":      {kept: kept{"first": {Events: h.GetEvents()[:2]}}, run: "first"},
		"server away":                      {run: "first", fail: errors.New("away")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			replies, lost, err := histories(t, c.kept, cmp.Or[error](c.fail, serviceerror.NewNotFound("gone"))).
				Published(t.Context(), acme, "w", c.run, event)
			require.Equal(t, c.fail != nil, err != nil)
			require.Equal(t, c.lost, lost)
			var ids []string
			for _, reply := range replies {
				ids = append(ids, reply.ID)
			}
			require.Equal(t, c.ids, ids[:min(len(ids), 1)], "conversation.closed may follow")
		})
	}
}

var acme = schemas.BotID{Tenant: "acme", Bot: "shop"}

// TestRecall_ShareOfATenant: while a run of a tenant is replayed, those of other tenants can be, and another one of its own
// is left for later.
func TestRecall_ShareOfATenant(t *testing.T) {
	t.Parallel()
	r := histories(t, nil, serviceerror.NewNotFound("gone"))
	release, free := r.shares.Take("acme", ofTenant)
	require.True(t, free)
	_, _, err := r.Published(t.Context(), acme, "w", "run", "e-1")
	require.ErrorIs(t, err, errBusy)
	_, _, err = r.Published(t.Context(), schemas.BotID{Tenant: "zeta", Bot: "shop"}, "w", "run", "e-1")
	require.NoError(t, err)
	release()
	_, _, err = r.Published(t.Context(), acme, "w", "run", "e-1")
	require.NoError(t, err)
}

// TestRun_WhatItPublishes: an event in hand has published nothing, what is handed to NATS again takes the place of what was handed to it first, a reply that was
// stored before stands, and a progress message is not published again.
func TestRun_WhatItPublishes(t *testing.T) {
	t.Parallel()
	key := schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c-1")
	reply := func(replyType string, outcome schemas.Outcome) step.PublishInput {
		r, err := schemas.NewReply(key, "e-1", replyType, time.Now(), schemas.StepReplied{EventID: "e-1", Outcome: outcome})
		require.NoError(t, err)
		return step.PublishInput{BotID: key.BotID, Reply: r}
	}
	o := &outbound{run: &run{events: map[string]bool{}}}
	o.run.add("e-1", reply(schemas.TypeStepProgress, ""))
	o.run.add("e-1", reply(schemas.TypeStepReplied, schemas.OutcomeSuccess))
	o.run.events["e-1"] = false
	require.Empty(t, o.run.of("e-1"), "the event is in hand")
	o.run.events["e-1"] = true
	in := reply(schemas.TypeStepReplied, schemas.OutcomeFailure) // cut down to the size of a message
	note := o.run.add("e-1", in)
	outcome := func() schemas.Outcome {
		replies := o.run.of("e-1")
		var data schemas.StepReplied
		require.NoError(t, json.Unmarshal(replies[0].Data, &data))
		return data.Outcome
	}
	require.Len(t, o.run.of("e-1"), 1)
	require.Equal(t, schemas.OutcomeFailure, outcome())

	closed := reply(schemas.TypeConversationClosed, "").Reply
	in.Closing = &closed
	o.adopted("e-1", note, in, &step.Published{Stored: &schemas.StepReplied{EventID: "e-1", Outcome: schemas.OutcomeBotBreak}})
	require.Equal(t, schemas.OutcomeBotBreak, outcome(), "the engine has read the one that was stored")
	require.Len(t, o.run.of("e-1"), 1, "closing is the workflow's then")
	o.adopted("e-1", note, in, &step.Published{Closed: true})
	require.Equal(t, closed.ID, o.run.of("e-1")[1].ID)
}
