package workflows

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func delivery(id, eventType string, change ...func(*step.Delivery)) step.Delivery {
	d := step.Delivery{Event: schemas.Event{ID: id, Type: eventType}}
	if eventType == schemas.TypeStepRequested {
		d.Plan = &bot.Plan{Step: "ORDER"}
	}
	for _, c := range change {
		c(&d)
	}
	return d
}

func needs(names ...string) func(*step.Delivery) {
	return func(d *step.Delivery) { d.Plan.Requires = names }
}

func useless(d *step.Delivery) {
	past := now.Add(-time.Second)
	d.UsefulUntil = &past
}

func unknown(d *step.Delivery) { d.Plan, d.Refused = nil, fault.New(fault.UnknownStep, "no such step") }

func because(reason string) func(*step.Delivery) {
	return func(d *step.Delivery) { d.Event.Data.Reason = reason }
}

// TestDecide holds the policy of a conversation, one row a case.
func TestDecide(t *testing.T) {
	t.Parallel()
	const requested, collected, ended = schemas.TypeStepRequested, schemas.TypeEntitiesCollected, schemas.TypeConversationEnded
	waiting := delivery("w", requested, needs("product", "size"))
	late := delivery("w", requested, needs("product"), useless)
	has := func(names ...string) map[string][]schemas.Entity {
		entities := map[string][]schemas.Entity{}
		for _, name := range names {
			entities[name] = []schemas.Entity{{EntityValue: json.RawMessage(`1`)}}
		}
		return entities
	}
	type want struct {
		cancel, reject fault.Kind
		run, wait, end string
		missing        []string
	}
	for name, c := range map[string]struct {
		waiting  *step.Delivery
		entities map[string][]schemas.Entity
		event    step.Delivery
		want     want
	}{
		"step": {event: delivery("e", requested), want: want{run: "e"}},
		"step with its entities": {
			entities: has("product"), event: delivery("e", requested, needs("product")),
			want: want{run: "e"},
		},
		"step without its entities": {
			event: delivery("e", requested, needs("product")),
			want:  want{wait: "e", missing: []string{"product"}},
		},
		"an entity without a value": {
			entities: map[string][]schemas.Entity{"product": {}}, event: delivery("e", requested, needs("product")),
			want: want{wait: "e", missing: []string{"product"}},
		},
		"missing in the file's order": {
			entities: has("b"), event: delivery("e", requested, needs("c", "b", "a")),
			want: want{wait: "e", missing: []string{"c", "a"}},
		},
		"step while one waits": {
			waiting: &waiting, event: delivery("e", requested),
			want: want{cancel: fault.Cancelled, run: "e"},
		},
		"waiting step while one does": {
			waiting: &waiting, event: delivery("e", requested, needs("x")),
			want: want{cancel: fault.Cancelled, wait: "e", missing: []string{"x"}},
		},
		"unknown step": {event: delivery("e", requested, unknown), want: want{reject: fault.UnknownStep}},
		"unknown step while one waits": {
			waiting: &waiting, event: delivery("e", requested, unknown),
			want: want{cancel: fault.Cancelled, reject: fault.UnknownStep},
		},
		"late step": {event: delivery("e", requested, useless), want: want{reject: fault.Expired}},
		"late step while one waits": {
			waiting: &waiting, event: delivery("e", requested, useless),
			want: want{reject: fault.Expired},
		},
		"entities without a waiting step": {event: delivery("e", collected)},
		"last entities": {
			waiting: &waiting, entities: has("product", "size"), event: delivery("e", collected),
			want: want{run: "w"},
		},
		"some entities": {
			waiting: &waiting, entities: has("size"), event: delivery("e", collected),
			want: want{wait: "w", missing: []string{"product"}},
		},
		"late entities": {
			waiting: &waiting, entities: has("product", "size"), event: delivery("e", collected, useless),
			want: want{reject: fault.Expired},
		},
		"refused entities": {waiting: &waiting, event: delivery("e", collected, unknown), want: want{reject: fault.UnknownStep}},
		"late end":         {event: delivery("e", ended, useless), want: want{reject: fault.Expired}},
		"entities for a late step": {
			waiting: &late, entities: has("product"), event: delivery("e", collected),
			want: want{cancel: fault.Expired},
		},
		"end":                  {event: delivery("e", ended, because("left")), want: want{end: "left"}},
		"end without a reason": {event: delivery("e", ended), want: want{end: schemas.ClosedCompleted}},
		"end while one waits": {
			waiting: &waiting, event: delivery("e", ended),
			want: want{cancel: fault.Expired, end: schemas.ClosedCompleted},
		},
		"message without an adapter": {
			event: delivery("e", schemas.TypeMessageReceived),
			want:  want{reject: fault.Config},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := decide(step.State{Waiting: c.waiting, Entities: c.entities}, c.event, now)
			require.Equal(t, c.want, want{
				cancel: kindOf(a.cancel), reject: kindOf(a.reject), run: idOf(a.run), wait: idOf(a.wait), end: a.end,
				missing: a.missing,
			})
		})
	}
}

func kindOf(r *rejection) fault.Kind {
	if r == nil {
		return ""
	}
	return r.fault.Kind
}

func idOf(d *step.Delivery) string {
	if d == nil {
		return ""
	}
	return d.Event.ID
}
