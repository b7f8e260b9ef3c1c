// Package pause lists what operators have paused, with the states of endpoints that workers share, and stores what an
// operator decides.
package pause

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/limit"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// Shown is a bot or an endpoint that is not in its normal state.
type Shown struct {
	schemas.BotID

	URL    string     `json:"url,omitempty"` // of the endpoint, without query; "" = the bot
	State  string     `json:"state"`         // paused of a bot; a limit.State of an endpoint
	Until  *time.Time `json:"until,omitempty"`
	By     string     `json:"by,omitempty"` // the operator who decided it
	Reason string     `json:"reason,omitempty"`
}

// Bots returns the bots that an operator has paused, sorted by tenant and bot.
func Bots(ctx context.Context, s bus.Streams) ([]Shown, error) {
	decided, err := store.NewPauses(s).List(ctx)
	if err != nil {
		return nil, err
	}
	return sorted(active(decided, false)), nil
}

// Endpoints returns the endpoints that an operator has paused and those with a state that workers share, sorted by tenant,
// bot and URL. An endpoint that has both is returned twice.
func Endpoints(ctx context.Context, s bus.Streams) ([]Shown, error) {
	decided, err := store.NewPauses(s).List(ctx)
	if err != nil {
		return nil, err
	}
	states, err := store.NewEndpoints(s).List(ctx)
	if err != nil {
		return nil, err
	}
	list := active(decided, true)
	for _, raw := range states {
		var c limit.StateChange
		if json.Unmarshal(raw, &c) == nil && (c.Until.IsZero() || c.Until.After(time.Now())) {
			list = append(list, Shown{
				BotID: c.Endpoint.BotID, URL: c.Endpoint.URL, State: string(c.State), Until: orNil(c.Until), Reason: c.Why,
			})
		}
	}
	return sorted(list), nil
}

// Decide stores a decision, and forgets the state that workers share of an endpoint that goes on. It can be repeated.
func Decide(ctx context.Context, s bus.Streams, d store.Pause) error {
	if d.Resumed && d.URL != "" {
		if err := store.NewEndpoints(s).Forget(ctx, d.BotID, d.URL); err != nil {
			return err
		}
	}
	return store.NewPauses(s).Put(ctx, d)
}

// active returns the decisions that are in force, about endpoints or about bots.
func active(decided []store.Pause, ofEndpoints bool) []Shown {
	var list []Shown
	for _, d := range decided {
		if d.Active(time.Now()) && (d.URL != "") == ofEndpoints {
			list = append(list, Shown{
				BotID: d.BotID, URL: d.URL, State: stateOf(d), Until: orNil(d.Until), By: d.By, Reason: d.Reason,
			})
		}
	}
	return list
}

func sorted(list []Shown) []Shown {
	slices.SortFunc(list, func(a, b Shown) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Bot, b.Bot), cmp.Compare(a.URL, b.URL))
	})
	return list
}

func stateOf(d store.Pause) string {
	if d.URL == "" {
		return "paused"
	}
	return string(limit.StateHeld)
}

func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
