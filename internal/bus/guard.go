package bus

import (
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/fault"
)

// Bounds of what is sent to NATS in a control line. The server closes a connection for good when a control line is longer
// than 4,096 bytes, so a text from outside must never make one that long.
const (
	subjectMax = 1024 // bytes of a subject, a filter or a key; the longest that hookturn makes has about 700
	objectMax  = 512  // bytes of an object's name, which travels as base64
)

// checkSubject returns an error of the kind bad_event unless subject can be published to: tokens of A-Z a-z 0-9 _ - = / $
// with dots between them, 1,024 bytes in all. The error does not quote the subject.
func checkSubject(subject string) error { return checkTokens("subject", subject, false) }

// checkFilter is checkSubject for subscriptions and consumers: a token may be *, the last one >.
func checkFilter(filter string) error { return checkTokens("subject filter", filter, true) }

// CheckKey returns an error of the kind bad_event unless key can be the key of a bucket, or the name of a stream, a
// consumer or a bucket; the same rules as for a subject.
func CheckKey(key string) error { return checkTokens("key", key, false) }

// checkObject returns an error of the kind bad_event unless name can be the name of an object.
func checkObject(name string) error {
	if len(name) > objectMax {
		return fault.New(fault.BadEvent, "invalid object name: has %d bytes, expected at most %d", len(name), objectMax)
	}
	return checkTokens("object name", name, false)
}

func checkTokens(what, text string, wildcards bool) error {
	if len(text) > subjectMax {
		return fault.New(fault.BadEvent, "invalid %s: has %d bytes, expected at most %d", what, len(text), subjectMax)
	}
	for rest, more := text, true; more; {
		var token string
		token, rest, more = strings.Cut(rest, ".")
		if wildcards && (token == "*" || token == ">" && !more) {
			continue
		}
		if token == "" || strings.ContainsFunc(token, isForeign) {
			return fault.New(fault.BadEvent,
				"invalid %s: expected words of A-Z a-z 0-9 _ - = / $ with dots between them", what)
		}
	}
	return nil
}

// isForeign reports whether a character cannot be part of a subject's token.
func isForeign(c rune) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return false
	}
	return !strings.ContainsRune("_-=/$", c)
}

// firstError returns the first error of a list.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// guard is what each guarded type has. Every operation that takes a text checks it before anything is sent, and ends when
// the server denies what it sends.
type guard struct {
	up     *upkeep // nil: nothing is created again, no write is recorded
	rights *rights
}

// uses returns the subjects to which an operation sends, as filters. It is called when the server denies something.
type uses func() []string

// once runs one request, or few that follow each other, unless its texts are invalid. It takes no longer than apiTimeout.
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

// tried ends an operation with nats.ErrTimeout after apiTimeout. A server that stops takes requests with it, and the library
// waits for their answers as long as their context lasts.
func tried[T any](operation func(context.Context) (T, error)) func(context.Context) (T, error) {
	return func(ctx context.Context) (T, error) {
		try, cancel := context.WithTimeout(ctx, apiTimeout)
		defer cancel()
		result, err := operation(try)
		if err != nil && ctx.Err() == nil && try.Err() != nil {
			err = fmt.Errorf("no answer within %s: %w", apiTimeout, nats.ErrTimeout)
		}
		return result, err
	}
}

// lasting is once for an operation whose result depends on the context: it stays valid afterwards.
func lasting[T any](
	ctx context.Context, g guard, invalid error, to uses, operation func(context.Context) (T, error),
) (result T, err error) {
	if invalid != nil {
		return result, invalid
	}
	ctx, o := g.rights.begin(ctx, to)
	result, err = operation(ctx)
	return result, o.end(ctx, err)
}

// repeated is once for an operation that is repeated when what it works on had to be created again. Each of its tries takes
// no longer than apiTimeout.
func repeated[T any](
	ctx context.Context, g guard, invalid error, to uses, operation func(context.Context) (T, error),
) (T, error) {
	return unbounded(ctx, g, invalid, to, again(g.up, tried(operation)))
}

// again repeats an operation when what it works on has vanished and was created again.
func again[T any](u *upkeep, operation func(context.Context) (T, error)) func(context.Context) (T, error) {
	return func(ctx context.Context) (result T, err error) {
		err = u.repeat(ctx, func() (err error) {
			result, err = operation(ctx)
			return err
		})
		return result, err
	}
}

// written is repeated for an operation that stores something in a stream: upkeep records its result.
func written[T any](
	ctx context.Context, g guard, invalid error, stream string, to uses, operation func(context.Context) (T, error),
) (result T, err error) {
	if invalid != nil {
		return result, invalid
	}
	result, err = repeated(ctx, g, nil, to, operation)
	g.up.wrote(stream, err)
	return result, err
}

// run is once for an operation without a result.
func (g guard) run(ctx context.Context, invalid error, to uses, operation func(context.Context) error) error {
	_, err := once(ctx, g, invalid, to, without(operation))
	return err
}

// write is written for an operation without a result.
func (g guard) write(
	ctx context.Context, invalid error, stream string, to uses, operation func(context.Context) error,
) error {
	_, err := written(ctx, g, invalid, stream, to, without(operation))
	return err
}

func without(operation func(context.Context) error) func(context.Context) (struct{}, error) {
	return func(ctx context.Context) (struct{}, error) { return struct{}{}, operation(ctx) }
}

// guardedConn is what hookturn does with a connection outside of JetStream, behind the guard.
type guardedConn struct {
	nc *nats.Conn
	guard
}

func guardedConnOf(js jetstream.JetStream) guardedConn {
	return guardedConn{js.Conn(), guard{rights: rightsOf(js)}}
}

func (c guardedConn) publish(subject string, data []byte) error {
	if err := checkSubject(subject); err != nil {
		return err
	}
	return c.nc.Publish(subject, data)
}

// request waits for an answer as long as its context lasts: its caller knows how long one takes.
func (c guardedConn) request(ctx context.Context, subject string, data []byte) (*nats.Msg, error) {
	return unbounded(ctx, c.guard, checkSubject(subject), to(subject),
		func(ctx context.Context) (*nats.Msg, error) { return c.nc.RequestWithContext(ctx, subject, data) })
}

func (c guardedConn) queueSubscribe(filter, group string, handle nats.MsgHandler) (*nats.Subscription, error) {
	if err := checkFilter(filter); err != nil {
		return nil, err
	}
	return c.nc.QueueSubscribe(filter, group, handle)
}

func (c guardedConn) maxPayload() int { return int(c.nc.MaxPayload()) }

func (c guardedConn) subscribe(filter string, handle nats.MsgHandler) (*nats.Subscription, error) {
	if err := checkFilter(filter); err != nil {
		return nil, err
	}
	return c.nc.Subscribe(filter, handle)
}
