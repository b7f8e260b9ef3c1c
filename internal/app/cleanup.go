package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// parts are the running parts of a process, in the order in which they were started. They stop in the opposite order.
type parts struct {
	log  *slog.Logger
	list []part
}

type part struct {
	name string
	stop func(context.Context) error
}

func (p *parts) add(name string, stop func(context.Context) error) {
	p.list = append(p.list, part{name, stop})
}

// within bounds how long a part may take to stop.
func within(timeout time.Duration, stop func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		return stop(ctx)
	}
}

// stop stops every part, even when others fail, and returns all errors.
func (p *parts) stop(ctx context.Context) error {
	var problems []error
	for _, v := range slices.Backward(p.list) {
		started := time.Now()
		if err := v.stop(ctx); err != nil {
			problems = append(problems, fmt.Errorf("stop %s: %w", v.name, err))
		}
		p.log.DebugContext(ctx, "stopped", "part", v.name, "duration_ms", time.Since(started).Milliseconds())
	}
	p.list = nil
	return errors.Join(problems...)
}
