package demo

import (
	"context"
	"fmt"

	"github.com/hookturn/hookturn/schemas"
)

func (d *demo) partners() []scene {
	return []scene{
		{"LoyJoy: a web service reads and sets variables of the conversation", d.loyjoy},
		{"LoyJoy in the background: accepted at once, the end published later", d.background},
		{"TwoWay: the client's message is delivered to an adapter", d.message},
		{"TwoWay: the chat is handed over; its next message goes to the agents", d.agents},
		{"Plain: a CloudEvents event, signed by Standard Webhooks", d.plain},
		{"Plain with jq: a service with a JSON of its own", d.legacy},
		{"Plain, 202 and a callback: the endpoint answers later", d.callBack},
	}
}

func (d *demo) loyjoy(ctx context.Context) error {
	return d.step(ctx, "loyalty", "c-6", "AREA", map[string]any{"variables": map[string]string{"city": "Münster"}},
		schemas.OutcomeSuccess)
}

func (d *demo) background(ctx context.Context) error {
	if err := d.step(ctx, "loyalty", "c-6", "NOTIFY", nil, schemas.OutcomeAccepted); err != nil {
		return err
	}
	return d.late(ctx, schemas.OutcomeSuccess)
}

// write has the client of a chat write something.
func (d *demo) write(ctx context.Context, adapter, text string, outcome schemas.Outcome) error {
	data := map[string]any{"message": map[string]any{"type": "text", "text": text}}
	if adapter != "" {
		data["adapter"] = adapter
	}
	if err := d.send(ctx, "helpdesk", "c-7", schemas.TypeMessageReceived, data); err != nil {
		return err
	}
	return d.replied(ctx, outcome)
}

func (d *demo) message(ctx context.Context) error {
	return d.write(ctx, "assistant", "Where is my order?", schemas.OutcomeDelivered)
}

func (d *demo) agents(ctx context.Context) error {
	if err := d.send(ctx, "helpdesk", "c-7", schemas.TypeConversationHandover, map[string]any{
		"adapter": "agents", "context": map[string]any{"reason": "the client asked for a person"},
	}); err != nil {
		return err
	}
	if err := d.replied(ctx, schemas.OutcomeDelivered); err != nil {
		return err
	}
	return d.write(ctx, "", "Is anybody there?", schemas.OutcomeDelivered)
}

func (d *demo) plain(ctx context.Context) error {
	return d.step(ctx, "orders", "c-8", "STATUS", nil, schemas.OutcomeSuccess)
}

func (d *demo) legacy(ctx context.Context) error {
	return d.step(ctx, "orders", "c-8", "STOCK", map[string]any{"params": map[string]any{"article": "speaker"}},
		schemas.OutcomeSuccess)
}

func (d *demo) callBack(ctx context.Context) error {
	if err := d.send(ctx, "orders", "c-9", schemas.TypeStepRequested, map[string]any{"step": "SHIPMENT"}); err != nil {
		return err
	}
	if err := d.progress(ctx); err != nil {
		return err
	}
	fmt.Fprintln(d.out, "     the endpoint has said 202; the step waits, and costs nothing meanwhile")
	return d.replied(ctx, schemas.OutcomeSuccess)
}
