package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hookturn/hookturn/schemas"
)

// step asks for a step and waits for its reply, which must have an outcome.
func (d *demo) step(
	ctx context.Context, bot, conversation, name string, data map[string]any, outcome schemas.Outcome,
) error {
	asked := map[string]any{"step": name}
	maps.Copy(asked, data)
	if err := d.send(ctx, bot, conversation, schemas.TypeStepRequested, asked); err != nil {
		return err
	}
	return d.replied(ctx, outcome)
}

// replied waits for the step's reply, which must have an outcome, and prints it in words.
func (d *demo) replied(ctx context.Context, outcome schemas.Outcome) error {
	return d.ended(ctx, schemas.TypeStepReplied, outcome)
}

// late waits for what comes after the step's reply.
func (d *demo) late(ctx context.Context, outcome schemas.Outcome) error {
	return d.ended(ctx, schemas.TypeStepLate, outcome)
}

// progress waits for the message of the soft deadline.
func (d *demo) progress(ctx context.Context) error {
	r, err := d.expect(ctx, schemas.TypeStepProgress)
	if err != nil {
		return err
	}
	var data schemas.StepProgress
	if err := json.Unmarshal(r.Data, &data); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "  <- %s\n     bot, meanwhile: %s\n", r.Type, said(data.Messages[0]))
	return nil
}

func (d *demo) ended(ctx context.Context, replyType string, outcome schemas.Outcome) error {
	r, err := d.expect(ctx, replyType)
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
		fmt.Fprintf(d.out, "     bot: %s\n", said(m))
	}
	for _, name := range slices.Sorted(maps.Keys(data.Variables)) {
		fmt.Fprintf(d.out, "     variable %s: %s\n", name, value(data.Variables[name]))
	}
	if data.Error != nil {
		fmt.Fprintf(d.out, "     for the builder: %s: %s\n", data.Error.Kind, data.Error.Message)
	}
	for _, a := range data.Attempts {
		fmt.Fprintf(d.out, "     attempt %d: %s -> %s in %.1f ms\n", a.N, a.URL, result(a), a.TotalMs)
	}
	if data.Workflow.ID != "" { // an event that no bot serves has no run
		fmt.Fprintf(d.out, "     run: %s\n", d.link(data.Workflow))
	}
	return nil
}

func result(a schemas.Attempt) string {
	switch {
	case a.Error != "" && a.Status == 0:
		return a.Error
	case a.Status == 0:
		return "answered"
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

// value is a variable as a person would read it.
func value(v *string) string {
	if v == nil {
		return "deleted"
	}
	return strconv.Quote(*v)
}

func product(name string) map[string]any { return entity("product_name", name) }

// entity is what a bot engine has detected in what the user wrote.
func entity(name, value string) map[string]any {
	return map[string]any{name: []any{map[string]any{"detection": "message", "original_text": value, "entity_value": value}}}
}
