package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

// scene is a sample: what is sent, and what comes back.
type scene struct {
	title string
	play  func(context.Context) error
}

// play sends the sample events and checks the end of each.
func (d *demo) play(ctx context.Context) error {
	for _, act := range []struct {
		name   string
		scenes []scene
	}{
		{"Haptik: a signed webhook answers for the bot", d.haptik()},
		{"LoyJoy, TwoWay and plain: the other dialects", d.partners()},
		{"Code steps: the bot builder's Python, walled in", d.code()},
		{"The gateway: what comes from outside in", d.gateway()},
		{"Endpoints that misbehave: each has its end, and the chat goes on", d.failures()},
	} {
		fmt.Fprintf(d.out, "\n=== %s\n", act.name)
		for _, s := range act.scenes {
			fmt.Fprintf(d.out, "\n%s\n", s.title)
			if err := s.play(ctx); err != nil {
				return fmt.Errorf("%s: %w", s.title, err)
			}
		}
	}
	return nil
}

func (d *demo) haptik() []scene {
	return []scene{
		{"A signed step succeeds: the endpoint checks the signature and looks up an order", d.success},
		{"A step waits for an entity that the conversation does not contain yet", d.waiting},
		{"An endpoint fails twice with 503, then answers", d.flaky},
		{"An endpoint keeps failing: the chat goes on with the bot break text", d.botBreak},
		{"The same, where a person takes over", d.handover},
		{"A step that the bot file does not know is rejected", d.unknownStep},
		{"An event for an unknown bot becomes a dead letter, and its user is not left without an answer", d.deadLetter},
	}
}

func (d *demo) success(ctx context.Context) error {
	if err := d.send(ctx, "shop", "c-1", schemas.TypeStepRequested, map[string]any{
		"step": "ORDER_STATUS", "user": map[string]any{"id": "91", "language": "en"}, "entities": product("speaker"),
	}); err != nil {
		return err
	}
	if err := d.replied(ctx, schemas.OutcomeSuccess); err != nil {
		return err
	}
	_, err := d.expect(ctx, schemas.TypeConversationClosed)
	fmt.Fprintln(d.out, "  <- hookturn.conversation.closed: ORDER_STATUS is an end step, so the conversation is complete")
	return err
}

func (d *demo) waiting(ctx context.Context) error {
	if err := d.send(ctx, "shop", "c-2", schemas.TypeStepRequested, map[string]any{"step": "ORDER_STATUS"}); err != nil {
		return err
	}
	r, err := d.expect(ctx, schemas.TypeStepWaiting)
	if err != nil {
		return err
	}
	var waiting schemas.StepWaiting
	if err := json.Unmarshal(r.Data, &waiting); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "  <- %s: %s is missing; no webhook was called\n", r.Type, strings.Join(waiting.Missing, ", "))
	collected := map[string]any{"entities": product("powerbank")}
	if err := d.send(ctx, "shop", "c-2", schemas.TypeEntitiesCollected, collected); err != nil {
		return err
	}
	if err := d.replied(ctx, schemas.OutcomeSuccess); err != nil {
		return err
	}
	_, err = d.expect(ctx, schemas.TypeConversationClosed)
	return err
}

func (d *demo) flaky(ctx context.Context) error {
	if err := d.send(ctx, "shop", "c-3", schemas.TypeStepRequested, map[string]any{"step": "DELIVERY_DATE"}); err != nil {
		return err
	}
	return d.replied(ctx, schemas.OutcomeSuccess)
}

func (d *demo) botBreak(ctx context.Context) error {
	if err := d.send(ctx, "shop", "c-4", schemas.TypeStepRequested, map[string]any{"step": "REFUND"}); err != nil {
		return err
	}
	return d.replied(ctx, schemas.OutcomeBotBreak)
}

func (d *demo) handover(ctx context.Context) error {
	if err := d.step(ctx, "shop", "c-4h", "COMPLAINT", nil, schemas.OutcomeHandover); err != nil {
		return err
	}
	_, err := d.expect(ctx, schemas.TypeConversationClosed)
	return err
}

func (d *demo) unknownStep(ctx context.Context) error {
	return d.step(ctx, "shop", "c-4u", "NOBODY_KNOWS", nil, schemas.OutcomeRejected)
}

func (d *demo) deadLetter(ctx context.Context) error {
	if err := d.send(ctx, "unknown", "c-5", schemas.TypeStepRequested, map[string]any{"step": "HELLO"}); err != nil {
		return err
	}
	streams, err := bus.Setup(ctx, d.js, bus.StreamOptions{})
	if err != nil {
		return err
	}
	letters := bus.NewDeadLetters(d.js, streams)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		list, err := letters.List(ctx, bus.DeadLetterFilter{BotID: schemas.BotID{Bot: "unknown"}})
		if err != nil {
			return err
		}
		if len(list) > 0 {
			fmt.Fprintf(d.out, "  <- dead letter %d: %s (%s)\n     send it again with: starter deadletters replay %d\n",
				list[0].Sequence, list[0].Reason, list[0].Detail, list[0].Sequence)
			return d.replied(ctx, schemas.OutcomeRejected)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("waiting for a dead letter: %w", ctx.Err())
		}
	}
}
