package intake

import (
	"encoding/json"
	"slices"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialect/twoway"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/nearest"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// resolveAdapter finds the adapter that an event goes to. An event that names none goes to the bot's side, and its delivery
// carries the other ways as well: only the conversation knows whether it was handed over.
func resolveAdapter(b *bot.Bot, d *step.Delivery) {
	e := d.Event
	if _, failed := twoway.ParamsOf(e); failed != nil { // without other ways: no adapter could take it
		d.Refused = failed
		return
	}
	if name := e.Data.Adapter; name != "" {
		adapter, ok := b.Adapter(name)
		if !ok {
			d.Refused = fault.Wrap(fault.Config, errUnknownAdapter, "bot %s has no adapter %q%s", b.Name(), name,
				nearest.Hint(name, adapterNames(b)))
			return
		}
		d.Plan, d.Refused = planFor(adapter, e)
		return
	}
	var able []*bot.BotAdapter
	for _, adapter := range b.Adapters() {
		if plan, refused := planFor(adapter, e); refused == nil {
			able = append(able, adapter)
			if d.Adapters == nil {
				d.Adapters = map[string]bot.Plan{}
			}
			d.Adapters[adapter.Name] = *plan
		} else {
			d.Refused = refused
		}
	}
	chosen := choose(able, e.Type)
	switch {
	case chosen != nil:
		plan := d.Adapters[chosen.Name]
		d.Plan, d.Refused = &plan, nil
	case len(able) > 1:
		d.Refused = fault.New(fault.Config, "several adapters of bot %s could take %s: name one in data.adapter", b.Name(), e.Type)
	case d.Refused == nil:
		d.Refused = fault.New(fault.Config, "bot %s has no adapter that could take %s", b.Name(), e.Type)
	}
}

func adapterNames(b *bot.Bot) (names []string) {
	for _, adapter := range b.Adapters() {
		names = append(names, adapter.Name)
	}
	return names
}

// choose picks the only adapter, or the only one of the side that is meant: a handover goes to the agents' side, everything
// else to the bot's. It gives nil when that leaves none or several.
func choose(able []*bot.BotAdapter, eventType string) *bot.BotAdapter {
	if len(able) == 1 {
		return able[0]
	}
	botSide := eventType != schemas.TypeConversationHandover
	side := slices.DeleteFunc(slices.Clone(able), func(a *bot.BotAdapter) bool { return a.IsBot != botSide })
	if len(side) == 1 {
		return side[0]
	}
	return nil
}

// planFor is how an adapter takes an event, or why it does not.
func planFor(a *bot.BotAdapter, e schemas.Event) (*bot.Plan, *fault.Fault) {
	plan, ok := a.Plan(e.Type)
	if !ok {
		return nil, fault.New(fault.Config, "adapter %s has no endpoint for %s", a.Name, e.Type)
	}
	if e.Type != schemas.TypeMessageReceived {
		return &plan, nil
	}
	// By its exact name, as the adapter receives it: encoding/json would fill a field of a struct from Type as well.
	var members map[string]json.RawMessage
	var kind string
	err := json.Unmarshal(e.Data.Message, &members)
	if value := members["type"]; err == nil && value != nil {
		err = json.Unmarshal(value, &kind)
	}
	if err != nil {
		return nil, fault.New(fault.BadEvent, "/data/message: it must be an object with a type")
	}
	if kind != "text" && !slices.Contains(a.ExtraMessageTypes, kind) {
		return nil, fault.New(fault.Config,
			"adapter %s takes no messages of the type %q: list it under extra_message_types", a.Name, kind)
	}
	return &plan, nil
}
