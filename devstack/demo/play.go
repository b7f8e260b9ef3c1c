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

// play sends the sample events and checks that each ends as the text says.
func (d *demo) play(ctx context.Context) error {
	for _, scene := range []struct {
		title string
		play  func(context.Context) error
	}{
		{"A signed step succeeds: the endpoint checks the signature and looks up an order", d.success},
		{"A step waits for an entity that the user has not named yet", d.waiting},
		{"An endpoint fails twice with 503, then answers", d.flaky},
		{"An endpoint keeps failing: the chat goes on with the bot break text", d.botBreak},
		{"An event for a bot that nobody has configured is kept as a dead letter", d.deadLetter},
	} {
		fmt.Fprintf(d.out, "\n%s\n", scene.title)
		if err := scene.play(ctx); err != nil {
			return fmt.Errorf("%s: %w", scene.title, err)
		}
	}
	return nil
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

func (d *demo) deadLetter(ctx context.Context) error {
	if err := d.send(ctx, "nobody", "c-5", schemas.TypeStepRequested, map[string]any{"step": "HELLO"}); err != nil {
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
		list, err := letters.List(ctx, bus.DeadLetterFilter{Bot: "nobody"})
		if err != nil {
			return err
		}
		if len(list) > 0 {
			fmt.Fprintf(d.out, "  <- dead letter %d: %s (%s)\n     send it again with: starter deadletters replay %d\n",
				list[0].Sequence, list[0].Reason, list[0].Detail, list[0].Sequence)
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("no dead letter came: %w", ctx.Err())
		}
	}
}

// replied waits for the step's reply, which must have an outcome, and prints it in words.
func (d *demo) replied(ctx context.Context, outcome schemas.Outcome) error {
	r, err := d.expect(ctx, schemas.TypeStepReplied)
	if err != nil {
		return err
	}
	var data schemas.StepReplied
	if err := json.Unmarshal(r.Data, &data); err != nil {
		return err
	}
	if data.Outcome != outcome {
		return fmt.Errorf("expected the outcome %s, got %s: %s", outcome, data.Outcome, r.Data)
	}
	fmt.Fprintf(d.out, "  <- %s: %s\n", r.Type, data.Outcome)
	for _, m := range data.Messages {
		fmt.Fprintf(d.out, "     bot says: %s\n", said(m))
	}
	if data.Error != nil {
		fmt.Fprintf(d.out, "     for the builder: %s: %s\n", data.Error.Kind, data.Error.Message)
	}
	for _, a := range data.Attempts {
		fmt.Fprintf(d.out, "     attempt %d: %s -> %s in %.1f ms\n", a.N, a.URL, ended(a), a.TotalMs)
	}
	fmt.Fprintf(d.out, "     run: %s\n", d.link(data.Workflow))
	return nil
}

func ended(a schemas.Attempt) string {
	if a.Status == 0 {
		return a.Error
	}
	return fmt.Sprintf("HTTP %d", a.Status)
}

// said is a message as a person would read it.
func said(m schemas.Message) string {
	if m.Type != schemas.MessageHSL {
		return fmt.Sprintf("%q", m.Text)
	}
	var element struct{ Text, Type string }
	if err := json.Unmarshal(m.HSL, &element); err != nil {
		return string(m.HSL)
	}
	return fmt.Sprintf("%q with a %s element", element.Text, strings.ToLower(element.Type))
}

func product(name string) map[string]any {
	detection := map[string]any{"detection": "message", "original_text": name, "entity_value": name}
	return map[string]any{"product_name": []any{detection}}
}
