package workflows_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// closedResult is the result of a run that completed.
func closedResult(t *testing.T, w *world) step.ConversationResult {
	t.Helper()
	require.NoError(t, w.GetWorkflowError())
	var r step.ConversationResult
	require.NoError(t, w.GetWorkflowResult(&r))
	return r
}

// carried is the state that a run hands to the next one.
func carried(t *testing.T, w *world) step.State {
	t.Helper()
	var again *workflow.ContinueAsNewError
	require.ErrorAs(t, w.GetWorkflowError(), &again)
	var s step.State
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(again.Input, &s))
	return s
}

func TestConversation_CompletesWhenClosed(t *testing.T) {
	t.Parallel()
	handover := func(p *bot.Plan) { p.OnFailure = bot.OnFailureHandover }
	for name, c := range map[string]struct {
		last  step.Delivery
		fails bool
		want  step.ConversationResult
	}{
		"end step": {last: requested("e2", plan(endStep)), want: step.ConversationResult{
			Steps: 2, LastOutcome: schemas.OutcomeSuccess, Closed: true, Reason: "completed", EventIDs: []string{"e1", "e2"}}},
		"ended": {last: ended("e2", "user left"), want: step.ConversationResult{
			Steps: 1, LastOutcome: schemas.OutcomeSuccess, Closed: true, Reason: "user left", EventIDs: []string{"e1", "e2"}}},
		"handover": {last: requested("e2", plan(handover)), fails: true, want: step.ConversationResult{
			Steps: 2, LastOutcome: schemas.OutcomeHandover, Closed: true, Reason: "handover", EventIDs: []string{"e1", "e2"}}},
		"idle": {last: collected("e2", "size"), want: step.ConversationResult{
			Steps: 1, LastOutcome: schemas.OutcomeSuccess, Closed: true, Reason: "idle", EventIDs: []string{"e1", "e2"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.answer = func(n int, in step.WebhookInput) (step.WebhookResult, error) {
				if c.fails && n == 2 {
					return step.WebhookResult{}, fail(in, fault.Status, 0)
				}
				return succeed(in, "done"), nil
			}
			begun := w.Now()
			w.send(1*time.Minute, requested("e1", plan()))
			w.send(2*time.Minute, c.last)
			w.converse(t, newState())
			got := closedResult(t, w)
			require.Equal(t, c.fails, len(got.Failures) == 1)
			got.Failures = nil
			require.Equal(t, c.want, got)
			if c.want.Reason != "idle" {
				require.WithinDuration(t, begun, w.Now(), 10*time.Minute, "the run waits for its idle timeout")
			}
		})
	}
}

// TestConversation_IdleWithoutStep: nothing was open, so nothing is closed.
func TestConversation_IdleWithoutStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.send(time.Second, collected("e1", "size"))
	w.converse(t, newState())
	require.Equal(t, step.ConversationResult{Reason: "idle", EventIDs: []string{"e1"}}, closedResult(t, w))
	require.Empty(t, w.replies)
}

// TestConversation_BotBreakInResult: a person finds what the user read.
func TestConversation_BotBreakInResult(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.answer = func(_ int, in step.WebhookInput) (step.WebhookResult, error) {
		return step.WebhookResult{}, fail(in, fault.BadResponse, 0)
	}
	w.send(1*time.Minute, requested("e1", plan()))
	w.send(2*time.Minute, ended("e2", ""))
	w.converse(t, newState())
	got := closedResult(t, w)
	require.Len(t, got.Failures, 1)
	require.Equal(t, "Sorry.", got.Failures[0].UserText)
	require.Equal(t, "bad_response", got.Failures[0].Error)
	require.Equal(t, "Sorry.", w.results["e1"].UserText)
}

// TestConversation_DrainsWhenFull: a load without a pause does not keep a run from continuing as new, whatever bound it
// has reached, and what the run rejects meanwhile is asked for again.
func TestConversation_DrainsWhenFull(t *testing.T) {
	t.Parallel()
	const events = 9 // as many as a run takes at a time
	for name, c := range map[string]struct {
		perRun, size, most int
	}{
		"events":   {perRun: 2, most: 4},
		"bytes":    {perRun: 1000, size: 1 << 20, most: 5},
		"in one":   {perRun: 1000, size: 3 << 20, most: 2},
		"no bound": {perRun: 1000, size: 1 << 10, most: events},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for i := range events { // all at the same moment
				d := requested(fmt.Sprintf("e%d", i), plan(func(p *bot.Plan) { p.Webhook.Execution = bot.ExecutionActivity }))
				d.Size = c.size
				w.send(time.Second, d)
			}
			s := newState()
			s.EventsPerRun = c.perRun
			w.converse(t, s)
			if c.most == events {
				require.Empty(t, w.rejections)
				require.NoError(t, w.GetWorkflowError())
				return
			}
			next := carried(t, w)
			require.LessOrEqual(t, len(next.Seen), c.most)
			require.Len(t, w.replies, len(next.Seen), "the run answers what it has taken")
			require.NotEmpty(t, w.rejections)
			for id, err := range w.rejections {
				var rejected *temporal.ApplicationError
				require.ErrorAs(t, err, &rejected, id)
				require.Equal(t, step.RejectedBusy, rejected.Type(), id)
				require.NotContains(t, next.Seen, id)
			}
		})
	}
}

// TestConversation_StateFitsTemporal: what the limits of an event allow fits into the input of the next run, 2 MiB.
func TestConversation_StateFitsTemporal(t *testing.T) {
	t.Parallel()
	short := func(n int) []schemas.Entity {
		many := make([]schemas.Entity, n)
		for i := range many {
			many[i] = schemas.Entity{Detection: "m", OriginalText: "\x01", EntityValue: json.RawMessage(`1`)}
		}
		return many
	}
	w := newWorld(t)
	w.answer = func(_ int, in step.WebhookInput) (step.WebhookResult, error) {
		return step.WebhookResult{}, fail(in, fault.BadResponse, 0)
	}
	for i := range 8 {
		d := requested(fmt.Sprintf("e%d", i), plan(breaksWith(strings.Repeat("\x04", 200<<10))))
		if i == 0 || i == 7 { // the second time there is no room
			d.Event.Data.Entities = map[string][]schemas.Entity{fmt.Sprintf("many%d", i): short(8_000)}
			d.Event.Data.Variables = map[string]string{fmt.Sprintf("v%d", i): strings.Repeat("\x02", 20<<10)}
		}
		d.Event.ID += strings.Repeat("\x03", 600)
		w.send(time.Duration(i+1)*time.Minute, d)
	}
	s := newState()
	s.EventsPerRun = 8
	for i := range 512 {
		s.Seen = append(s.Seen, fmt.Sprintf("%0600d", i))
	}
	w.converse(t, s)
	state, err := schemas.Marshal(carried(t, w))
	require.NoError(t, err)
	require.Less(t, len(state), 1<<20)
	require.Greater(t, len(state), 700<<10, "the parts are near their limits")
	require.Equal(t, "bad_response", w.replied(t, 6).Error.Kind)
	require.Equal(t, "too_large", w.replied(t, 7).Error.Kind)
}

// TestConversation_NullIsNotCollected: null means that the engine found nothing.
func TestConversation_NullIsNotCollected(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := requested("e1", plan(requires("otp")))
	d.Event.Data.Entities = map[string][]schemas.Entity{"otp": {{EntityValue: json.RawMessage(`null`)}}}
	w.send(1*time.Minute, d)
	w.send(2*time.Minute, collected("e2", "otp"))
	w.converse(t, newState())
	require.Equal(t, []string{"step.waiting", "step.replied", "conversation.closed"}, w.types())
}

// TestConversation_FreshEntities: a one-time password of an earlier step does not serve the next one.
func TestConversation_FreshEntities(t *testing.T) {
	t.Parallel()
	fresh := func(p *bot.Plan) { p.Requires, p.Fresh = []string{"phone", "otp"}, []string{"otp"} }
	w := newWorld(t)
	w.send(1*time.Minute, collected("e1", "phone", "otp"))
	w.send(2*time.Minute, requested("e2", plan(fresh)))
	w.send(3*time.Minute, collected("e3", "otp"))
	both := requested("e4", plan(fresh))
	both.Event.Data.Entities = collected("", "otp").Event.Data.Entities
	w.send(4*time.Minute, both)
	w.converse(t, newState())
	require.Equal(t, []string{"step.waiting", "step.replied", "step.replied", "conversation.closed"}, w.types())
	require.Contains(t, string(w.replies[0].Data), `"missing":["otp"]`)
	require.Equal(t, "e2", w.replied(t, 1).EventID)
	require.Equal(t, "e4", w.replied(t, 2).EventID)
}

// TestConversation_RoundAndParams: the params of the browser come with the first step only, and the round is the event that
// opened the conversation.
func TestConversation_RoundAndParams(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := requested("e1", plan())
	first.Event.Data.Params = map[string]json.RawMessage{"browser": json.RawMessage(`"firefox"`), "page": json.RawMessage(`1`)}
	second := requested("e2", plan())
	second.Event.Data.Params = map[string]json.RawMessage{"page": json.RawMessage(`2`)}
	huge := requested("e3", plan())
	huge.Event.Data.Params = map[string]json.RawMessage{"huge": json.RawMessage(`"` + strings.Repeat("a", 70<<10) + `"`)}
	for i, d := range []step.Delivery{first, second, huge, requested("e4", plan())} {
		w.send(time.Duration(i+1)*time.Minute, d)
	}
	w.converse(t, newState())
	for _, call := range w.calls {
		require.Equal(t, "e1", call.Round)
	}
	require.Equal(t, map[string]json.RawMessage{"browser": json.RawMessage(`"firefox"`), "page": json.RawMessage(`2`)}, w.calls[3].Params)
}
