package inspect

import (
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

func TestFilter_Query(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	const all = "WorkflowType IN ('Conversation', 'Step') AND HookturnConversation IS NOT NULL"
	for name, c := range map[string]struct {
		filter Filter
		want   string
	}{
		"all":  {Filter{}, all},
		"bot":  {Filter{BotID: schemas.BotID{Tenant: "acme", Bot: "shop"}}, all + " AND HookturnTenant = 'acme' AND HookturnBot = 'shop'"},
		"user": {Filter{User: `o'neil`}, all + ` AND HookturnUser = 'o\'neil'`},
		"id that cannot be searched": {
			Filter{Conversation: "a\nb"}, all + " AND HookturnConversation IN ('" + schemas.ConversationToken("a\nb") + "', '" +
				schemas.ConversationToken("a\nb") + "')",
		},
		"outcome": {Filter{Outcome: "waiting", Open: true}, all + " AND HookturnOutcome = 'waiting' AND ExecutionStatus = 'Running'"},
		"busy":    {Filter{Busy: 5 * time.Minute}, all + " AND ExecutionStatus = 'Running' AND StartTime <= '2026-11-28T11:55:00Z'"},
		"time": {
			Filter{Since: now.Add(-time.Hour), Until: now},
			all + " AND (ExecutionStatus = 'Running' OR CloseTime >= '2026-11-28T11:00:00Z') AND StartTime < '2026-11-28T12:00:00Z'",
		},
	} {
		require.Equal(t, c.want, c.filter.query(now), name)
	}
}

// recorded are the histories of all releases, by their files.
func recorded(t *testing.T) map[string][]*historypb.HistoryEvent {
	t.Helper()
	files, err := filepath.Glob("../../workflows/testdata/histories/v*/*.json.gz")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	all := map[string][]*historypb.HistoryEvent{}
	for _, file := range files {
		compressed, err := os.Open(file)
		require.NoError(t, err)
		raw, err := gzip.NewReader(compressed)
		require.NoError(t, err)
		history, err := client.HistoryFromJSON(raw, client.HistoryJSONOptions{})
		require.NoError(t, err, file)
		require.NoError(t, compressed.Close())
		all[file] = history.GetEvents()
	}
	return all
}

// TestReading_RecordedHistories reads the histories of all releases: of a run that has ended, every event is answered.
func TestReading_RecordedHistories(t *testing.T) {
	t.Parallel()
	read, all := 0, recorded(t)
	for file, history := range all {
		r := (&Inspector{}).reading()
		for _, e := range history {
			require.NoError(t, r.take(e), file)
		}
		for _, e := range r.events {
			require.NotEmpty(t, e.event.ID, file)
			require.False(t, e.at.IsZero(), file)
			if history[len(history)-1].GetWorkflowExecutionCompletedEventAttributes() != nil {
				require.True(t, e.done, "%s: %s", file, e.event.ID)
			}
			read++
		}
	}
	require.Greater(t, read, len(all)/2)
}

// TestTail_RecordedHistories reads every history of all releases from each of its events back: it finds what reading all of it
// finds, and an idle run needs few events.
func TestTail_RecordedHistories(t *testing.T) {
	t.Parallel()
	later := time.Now().Add(time.Hour)
	found, stopped := 0, 0
	for file, history := range recorded(t) {
		all := (&Inspector{}).reading()
		for n, e := range history {
			require.NoError(t, all.take(e), file)
			if e.GetWorkflowExecutionCompletedEventAttributes() != nil {
				break // a run that has ended is not asked
			}
			want := (&tail{reading: all}).inHand(later)
			slices.Reverse(want)
			back := tail{reading: (&Inspector{}).reading(), done: map[string]bool{}}
			for _, e := range slices.Backward(history[:n+1]) {
				more, err := back.take(e)
				require.NoError(t, err, file)
				if !more {
					stopped++
					break
				}
			}
			require.Equal(t, want, back.inHand(later), "%s up to event %d", file, n+1)
			found += len(want)
		}
	}
	require.NotZero(t, found)
	require.NotZero(t, stopped)
}

func TestConversation_RepliesJoinTheirEvents(t *testing.T) {
	t.Parallel()
	i := &Inspector{UI: "https://ui.example/", Namespace: "default"}
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	c := newConversation(schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c 1"))
	text, err := json.Marshal(c)
	require.NoError(t, err)
	require.JSONEq(t, `{"tenant":"default","bot":"shop","conversation":"c 1","runs":[],"events":[]}`, string(text))
	c.add(Run{}, handled{event: schemas.Event{ID: "e-2", Type: schemas.TypeStepRequested}, at: at})
	reply := func(event string) Reply {
		return Reply{Type: schemas.TypeStepReplied, Time: at.Add(time.Second), replyData: replyData{
			EventID: event, Workflow: schemas.WorkflowRef{ID: "conversation/default/shop/c 1", RunID: "r"},
		}}
	}
	c.answer(reply("e-2"), i)
	c.answer(reply("e-1"), i)
	require.Len(t, c.Events, 2)
	require.True(t, c.Events[0].InHand)
	require.Len(t, c.Events[0].Replies, 1)
	require.Equal(t, "e-1", c.Events[1].ID, "an event whose run is not read any more")
	require.Equal(t, "https://ui.example/namespaces/default/workflows/conversation%2Fdefault%2Fshop%2Fc%201/r/history", c.Events[1].URL)
}

// TestConversation_CloseJoinsItsEvent: the end of a conversation is shown with the event that closed it, and no reply is
// shown before its event, although the server records the event when the task ends that has published the reply.
func TestConversation_CloseJoinsItsEvent(t *testing.T) {
	t.Parallel()
	recorded := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	began, answered := recorded.Add(-6*time.Millisecond), recorded.Add(-5*time.Millisecond)
	ref := schemas.WorkflowRef{ID: "conversation/default/shop/c-1", RunID: "r"}
	c := newConversation(schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c-1"))
	asked := func(id, closed string) handled {
		return handled{event: schemas.Event{ID: id, Type: schemas.TypeStepRequested}, at: recorded, done: true,
			result: step.Result{Outcome: schemas.OutcomeSuccess, Closed: closed}}
	}
	c.add(Run{Workflow: ref}, asked("e-1", ""))
	c.add(Run{Workflow: ref}, asked("e-2", schemas.ClosedCompleted))
	i := &Inspector{}
	c.answer(Reply{Type: schemas.TypeStepReplied, Time: answered, replyData: replyData{
		EventID: "e-2", Workflow: ref, Attempts: []schemas.Attempt{{N: 1, Started: began}},
	}}, i)
	closed := Reply{Type: schemas.TypeConversationClosed, Time: answered, replyData: replyData{
		Reason: schemas.ClosedCompleted, Workflow: ref,
	}}
	c.answer(closed, i)
	require.Len(t, c.Events, 2)
	require.Empty(t, c.Events[0].Replies)
	require.Len(t, c.Events[1].Replies, 2)
	require.Equal(t, began, c.Events[1].At)
	closed.Workflow.RunID = "another, whose history is not read"
	c.answer(closed, i)
	require.Len(t, c.Events, 3)
}
