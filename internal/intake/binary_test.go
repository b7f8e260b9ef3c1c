package intake_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/intake/intaketest"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// inBinaryMode returns an event whose attributes are headers, as the CloudEvents binding for NATS has it.
func inBinaryMode(bot, data string) *eventreader.Message {
	m := intaketest.Requested(bot)
	m.Data, m.Received = []byte(data), time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) // the event's own time
	m.Header = nats.Header{
		"ce-specversion": {"1.0"}, "ce-id": {"e1"}, "ce-source": {"/x"}, "ce-type": {schemas.TypeStepRequested},
		"ce-time": {"2026-11-20T12:00:00Z"}, "ce-subject": {"c%2D42"}, "Nats-Msg-Id": {"e1"},
	}
	return m
}

func TestIntake_EventInBinaryMode(t *testing.T) {
	t.Parallel()
	const order = `{"step":"ORDER","variables":{"a":"b"}}`
	for name, c := range map[string]struct {
		bot, data string
		header    nats.Header
		letter    fault.Kind
		answered  bool // by the intake itself
	}{
		"served":          {bot: "shop", data: order},
		"bad data":        {bot: "shop", data: `{"step"`, letter: fault.BadEvent},
		"unknown bot":     {bot: "gone", data: `{"step":"ORDER"}`, letter: fault.UnknownBot, answered: true},
		"content type":    {bot: "shop", data: order, header: nats.Header{"ce-datacontenttype": {"text/plain"}}, letter: fault.BadEvent},
		"bad percent":     {bot: "shop", data: order, header: nats.Header{"ce-note": {"100%"}}, letter: fault.BadEvent},
		"extension twice": {bot: "shop", data: order, header: nats.Header{"ce-note": {"a", "b"}}, letter: fault.BadEvent},
		"data as header":  {bot: "shop", data: order, header: nats.Header{"ce-data": {"{}"}}, letter: fault.BadEvent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, mock := intaketest.Setup(t)
			var taken []step.Delivery
			intaketest.Accepting(mock, func(o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
				taken = append(taken, intaketest.Delivered(o.UpdateOptions))
				return intaketest.UpdateHandle(nil), nil
			})
			sent := &intaketest.Replies{}
			in.Answers.Replies = sent
			m := inBinaryMode(c.bot, c.data)
			maps.Copy(m.Header, c.header)
			intaketest.RequireOutcome(t, in.Handle(t.Context(), m), c.letter, false)
			if c.answered {
				require.Len(t, sent.Published, 1)
				var data schemas.StepReplied
				require.NoError(t, json.Unmarshal(sent.Published[0].Data, &data))
				require.Equal(t, "e1", data.EventID)
				return
			}
			require.Len(t, taken, 1, "an event that is not valid is answered, too")
			require.Equal(t, []string{"e1", "c-42"}, []string{taken[0].Event.ID, taken[0].Event.Subject})
			if c.letter == "" {
				require.Equal(t, map[string]string{"a": "b"}, taken[0].Event.Data.Variables)
				require.Equal(t, "ORDER", taken[0].Plan.Step)
				return
			}
			require.Equal(t, c.letter, taken[0].Refused.Kind)
		})
	}
}

// TestIntake_CrowdedEventInBinaryMode: an event with too many headers is answered by those that the reader keeps. The dead
// letter of one that cannot be answered names the reason.
func TestIntake_CrowdedEventInBinaryMode(t *testing.T) {
	t.Parallel()
	const unanswered = "it is not answered, because ce-id, ce-type or ce-subject is missing, not valid, or there twice"
	for name, c := range map[string]struct {
		bot     string
		without string
		letter  fault.Kind
		taken   bool // by its conversation
		direct  bool // answered by the intake itself
		detail  string
	}{
		"answered":    {bot: "shop", letter: fault.BadEvent, taken: true, detail: "the message has 1001 headers, at most 1000 are allowed"},
		"unknown bot": {bot: "gone", letter: fault.UnknownBot, direct: true, detail: "no bot file"},
		"no id":       {bot: "shop", without: "ce-id", letter: fault.BadEvent, detail: "at most 1000 are allowed; " + unanswered},
		"no subject":  {bot: "shop", without: "ce-subject", letter: fault.BadEvent, detail: unanswered},
		"no type":     {bot: "shop", without: "ce-type", letter: fault.BadEvent, detail: unanswered},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, mock := intaketest.Setup(t)
			var taken []step.Delivery
			intaketest.Accepting(mock, func(o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
				taken = append(taken, intaketest.Delivered(o.UpdateOptions))
				return intaketest.UpdateHandle(nil), nil
			})
			sent := &intaketest.Replies{}
			in.Answers.Replies = sent
			m := inBinaryMode(c.bot, `{"step":"ORDER"}`)
			for _, name := range []string{"ce-source", "Nats-Msg-Id", c.without} { // what the reader does not keep
				delete(m.Header, name)
			}
			m.Headers = eventreader.HeadersMax + 1
			o := in.Handle(t.Context(), m)
			intaketest.RequireOutcome(t, o, c.letter, false)
			require.ErrorContains(t, o.Err(), c.detail)
			require.Equal(t, strings.Contains(c.detail, unanswered), strings.Contains(o.Err().Error(), unanswered))
			require.Equal(t, c.direct, len(sent.Published) == 1)
			require.Equal(t, c.taken, len(taken) == 1)
			if c.taken {
				require.Equal(t, []string{"e1", "c-42"}, []string{taken[0].Event.ID, taken[0].Event.Subject})
				require.Equal(t, fault.BadEvent, taken[0].Refused.Kind)
			}
		})
	}
}
