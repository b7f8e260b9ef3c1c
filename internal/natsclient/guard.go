package natsclient

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// guard is what each guarded type has. Every operation that takes a text checks it before anything is sent, and ends when
// the server denies what it sends.
type guard struct {
	up     Upkeep // nil: nothing is created again, no write is recorded
	rights *rights
}

// uses returns the subjects to which an operation sends, as filters. It is called when the server denies something.
type uses func() []string

// to returns fixed subjects.
func to(subjects ...string) uses { return func() []string { return subjects } }

// once runs one request, or few that follow each other, unless its texts are invalid. It takes no longer than APITimeout.
func once[T any](
	ctx context.Context, g guard, invalid error, to uses, operation func(context.Context) (T, error),
) (T, error) {
	return unbounded(ctx, g, invalid, to, tried(operation))
}

// unbounded is once for an operation that may take as long as its context.
func unbounded[T any](
	ctx context.Context, g guard, invalid error, to uses, operation func(context.Context) (T, error),
) (result T, err error) {
	if invalid != nil {
		return result, invalid
	}
	ctx, o := g.rights.begin(ctx, to)
	defer o.cancel()
	result, err = operation(ctx)
	return result, o.end(ctx, err)
}

// tried ends an operation with nats.ErrTimeout after APITimeout. A server that stops takes requests with it, and the library
// waits for their answers as long as their context lasts.
func tried[T any](operation func(context.Context) (T, error)) func(context.Context) (T, error) {
	return func(ctx context.Context) (T, error) {
		try, cancel := context.WithTimeout(ctx, APITimeout)
		defer cancel()
		result, err := operation(try)
		if err != nil && ctx.Err() == nil && try.Err() != nil {
			err = noAnswer()
		}
		return result, err
	}
}

func noAnswer() error { return fmt.Errorf("no answer within %s: %w", APITimeout, nats.ErrTimeout) }

// begun is tried for an operation whose result depends on the context: only the time until it returns is bounded.
func begun[T any](operation func(context.Context) (T, error)) func(context.Context) (T, error) {
	return func(ctx context.Context) (T, error) {
		lasting, cancel := context.WithCancel(ctx)
		late := time.AfterFunc(APITimeout, cancel)
		defer late.Stop()
		result, err := operation(lasting)
		if err != nil && ctx.Err() == nil && lasting.Err() != nil {
			err = noAnswer()
		}
		if err != nil {
			cancel()
		}
		return result, err
	}
}

// lasting is repeated for an operation whose result depends on the context: it stays valid afterwards.
func lasting[T any](
	ctx context.Context, g guard, invalid error, to uses, operation func(context.Context) (T, error),
) (result T, err error) {
	if invalid != nil {
		return result, invalid
	}
	ctx, o := g.rights.begin(ctx, to)
	result, err = again(g.up, begun(operation))(ctx)
	if err = o.end(ctx, err); err != nil {
		o.cancel()
	}
	return result, err
}

// repeated is once for an operation that is repeated when what it works on had to be created again. Each of its tries takes
// no longer than APITimeout.
func repeated[T any](
	ctx context.Context, g guard, invalid error, to uses, operation func(context.Context) (T, error),
) (T, error) {
	return unbounded(ctx, g, invalid, to, again(g.up, tried(operation)))
}

// again repeats an operation when what it works on has vanished and was created again. The second time is for a restoration
// that was under way before the stream vanished.
func again[T any](up Upkeep, operation func(context.Context) (T, error)) func(context.Context) (T, error) {
	return func(ctx context.Context) (T, error) {
		result, err := operation(ctx)
		for range 2 {
			if up == nil || !IsVanished(err) || up.Restore(ctx) != nil {
				return result, err
			}
			result, err = operation(ctx)
		}
		return result, err
	}
}

// written is repeated for an operation that stores something under a subject: upkeep records its result.
func written[T any](
	ctx context.Context, g guard, invalid error, subject string, to uses, operation func(context.Context) (T, error),
) (result T, err error) {
	if invalid != nil {
		return result, invalid
	}
	result, err = repeated(ctx, g, nil, to, operation)
	g.wrote(subject, err)
	return result, err
}

// wrote records the result of a write under a subject.
func (g guard) wrote(subject string, err error) {
	if g.up != nil {
		g.up.Wrote(withoutAPIPrefix(subject), err) // it has the prefix on a connection to a JetStream domain
	}
}

// run is once for an operation without a result.
func (g guard) run(ctx context.Context, invalid error, to uses, operation func(context.Context) error) error {
	_, err := once(ctx, g, invalid, to, without(operation))
	return err
}

// write is written for an operation without a result.
func (g guard) write(
	ctx context.Context, invalid error, subject string, to uses, operation func(context.Context) error,
) error {
	_, err := written(ctx, g, invalid, subject, to, without(operation))
	return err
}

func without(operation func(context.Context) error) func(context.Context) (struct{}, error) {
	return func(ctx context.Context) (struct{}, error) { return struct{}{}, operation(ctx) }
}
