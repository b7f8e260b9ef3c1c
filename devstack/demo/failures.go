package demo

import (
	"context"
	"fmt"

	"github.com/hookturn/hookturn/schemas"
)

func (d *demo) failures() []scene {
	return []scene{
		{"Slow: a message at the soft deadline, an end at the hard one, and the late answer", d.slow},
		{"Too many requests: 429, and all workers pause the endpoint", d.busy},
		{"An endless answer is cut off at 256 KiB", d.endless},
		{"A connection breaks: the circuit opens, and the next step sends no request", d.circuit},
		{"410: the endpoint gets no requests until its bot file changes", d.gone},
		{"LoyJoy continues: a missing web service changes nothing", d.goesOn},
		{"TwoWay: a message that its adapter does not take is undelivered", d.undelivered},
	}
}

func (d *demo) slow(ctx context.Context) error {
	if err := d.send(ctx, "orders", "c-10", schemas.TypeStepRequested, map[string]any{"step": "INVOICE"}); err != nil {
		return err
	}
	if err := d.progress(ctx); err != nil {
		return err
	}
	if err := d.replied(ctx, schemas.OutcomeBotBreak); err != nil {
		return err
	}
	return d.late(ctx, schemas.OutcomeSuccess)
}

func (d *demo) busy(ctx context.Context) error {
	return d.step(ctx, "orders", "c-11", "BUSY", nil, schemas.OutcomeBotBreak)
}

func (d *demo) endless(ctx context.Context) error {
	return d.step(ctx, "orders", "c-12", "ENDLESS", nil, schemas.OutcomeBotBreak)
}

func (d *demo) circuit(ctx context.Context) error {
	return d.twice(ctx, "BROKEN_OFF")
}

func (d *demo) gone(ctx context.Context) error {
	return d.twice(ctx, "RETIRED")
}

// twice runs a step in two conversations: the second learns from the first.
func (d *demo) twice(ctx context.Context, step string) error {
	for i := range 2 {
		if err := d.step(ctx, "orders", fmt.Sprintf("c-13-%s-%d", step, i), step, nil, schemas.OutcomeBotBreak); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) goesOn(ctx context.Context) error {
	return d.step(ctx, "loyalty", "c-14", "WEATHER", nil, schemas.OutcomeContinued)
}

func (d *demo) undelivered(ctx context.Context) error {
	return d.write(ctx, "archive", "Hello?", schemas.OutcomeUndelivered)
}
