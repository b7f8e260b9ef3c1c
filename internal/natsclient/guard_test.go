package natsclient

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/schemas"
)

func TestGuard_InvalidSubjects(t *testing.T) {
	t.Parallel()
	for name, text := range natstest.Hostile() {
		for what, err := range map[string]error{
			"subject": checkSubject(text), "key": CheckKey(text), "object": checkObject(text),
		} {
			f := fault.Of(err)
			require.Error(t, err, "%s as %s", name, what)
			require.Equal(t, fault.BadEvent, f.Kind, "%s as %s", name, what)
			require.NotContains(t, f.Message, text[:min(len(text), 20)]+"\x00", name)
			require.Less(t, len(f.Message), 200, "the error quotes the text")
		}
	}
	require.NoError(t, checkFilter("a.*.b.>"))
	require.Error(t, checkFilter("a.>.b"))
	require.Error(t, checkFilter("a.b>"))
}

func TestGuard_PassesWhatHookturnMakes(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 64)
	owner := schemas.BotID{Tenant: long, Bot: long}
	class := strings.TrimSuffix(strings.Repeat(long+".", 8), ".")
	require.True(t, schemas.IsClass(class))
	require.NoError(t, checkSubject(schemas.NoticeSubject(owner, class)))
	require.NoError(t, checkSubject(schemas.Subject(schemas.SubjectDeadLetters, owner.WithConversation("any id\n"))))
}

// TestGuard_NoMethodIsLeftOut calls each method that takes a text, with a hostile one, on guards with nothing behind
// them: a method that is not guarded reaches for what is behind and panics.
func TestGuard_NoMethodIsLeftOut(t *testing.T) {
	t.Parallel()
	for _, guarded := range []any{
		guardedJetStream{}, guardedStream{}, guardedKeyValue{}, guardedObjects{},
	} {
		v, tested := reflect.ValueOf(guarded), 0
		for i := range v.NumMethod() {
			name := v.Type().Method(i).Name
			arguments, text := hostileArguments(v.Method(i).Type())
			if !text {
				continue
			}
			tested++
			require.NotPanics(t, func() {
				results := call(v.Method(i), arguments)
				err, _ := reflect.TypeAssert[error](results[len(results)-1])
				require.Error(t, err, "%T.%s", guarded, name)
				require.Equal(t, fault.BadEvent, fault.Of(err).Kind, "%T.%s", guarded, name)
			}, "%T.%s is not guarded", guarded, name)
		}
		require.Greater(t, tested, 10, "%T", guarded)
	}
}

func call(method reflect.Value, arguments []reflect.Value) []reflect.Value {
	if method.Type().IsVariadic() {
		return method.CallSlice(arguments)
	}
	return method.Call(arguments)
}

// hostileArguments are the arguments of a method, with a hostile text wherever one goes.
func hostileArguments(method reflect.Type) (arguments []reflect.Value, text bool) {
	const bad = "a b"
	for in := range method.Ins() {
		v := reflect.New(in).Elem()
		switch {
		case in == reflect.TypeFor[context.Context]():
			v.Set(reflect.ValueOf(context.Background()))
		case in.Kind() == reflect.String:
			v.SetString(bad)
			text = true
		case in == reflect.TypeFor[[]string]():
			v.Set(reflect.ValueOf([]string{bad}))
			text = true
		case in == reflect.TypeFor[*nats.Msg]():
			v.Set(reflect.ValueOf(nats.NewMsg(bad)))
			text = true
		case in.Kind() == reflect.Struct && in != reflect.TypeFor[jetstream.RePublish]():
			for _, field := range []string{"Name", "Bucket", "NamePrefix"} {
				if f := v.FieldByName(field); f.IsValid() {
					f.SetString(bad)
					text = true
				}
			}
		}
		arguments = append(arguments, v)
	}
	return arguments, text
}

func FuzzGuard(f *testing.F) {
	for _, text := range natstest.Hostile() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if checkSubject(text) != nil {
			return
		}
		require.LessOrEqual(t, len(text), SubjectMax)
		for token := range strings.SplitSeq(text, ".") {
			require.NotEmpty(t, token)
			require.Regexp(t, `^[A-Za-z0-9_/=$-]+$`, token)
		}
	})
}

func FuzzSubjects(f *testing.F) {
	for _, text := range natstest.Hostile() {
		f.Add(text, text)
	}
	owner := schemas.BotID{Tenant: "t", Bot: "b"}
	f.Fuzz(func(t *testing.T, id, name string) {
		require.NoError(t, checkSubject(schemas.Subject(schemas.SubjectEvents, owner.WithConversation(id))), "a conversation may have any id")
		if schemas.IsClassPattern(name) {
			require.NoError(t, checkFilter(schemas.NoticeSubject(owner, name)), "%q", name)
		}
	})
}

// TestGuard_LostRequests sends requests that nothing answers, as of a server that stops while it has them, by callers with much
// time. Each ends with an error on which the request is sent again.
func TestGuard_LostRequests(t *testing.T) {
	t.Parallel()
	s, _, opened := setup(t)
	nc, lost, err := Login{URL: s.ClientURL(), Domain: "lost"}.Connect(testContext(t), t.Name(), nil)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	for _, unanswered := range []string{"$JS.lost.API.>", "unanswered"} {
		_, err = nc.Subscribe(unanswered, func(*nats.Msg) {})
		require.NoError(t, err)
	}
	stream := opened.(guardedStream)
	stream.leader.nc, stream.leader.api = nc, apiPrefix(lost)
	reader, err := NewReader(lost, streamOfTest)
	require.NoError(t, err)
	for name, request := range map[string]func(context.Context) error{
		"stream":  failing(func(ctx context.Context) (any, error) { return lost.Stream(ctx, streamOfTest) }),
		"bucket":  failing(func(ctx context.Context) (any, error) { return lost.KeyValue(ctx, "bucket") }),
		"account": failing(func(ctx context.Context) (any, error) { return lost.AccountInfo(ctx) }),
		"write":   failing(func(ctx context.Context) (any, error) { return lost.Publish(ctx, "unanswered", nil) }),
		"message": failing(func(ctx context.Context) (any, error) { return stream.GetMsg(ctx, 1) }),
		"events":  failing(func(ctx context.Context) (any, error) { return stream.leader.Info(ctx, "", 0) }),
		"stored": failing(func(ctx context.Context) (any, error) {
			return reader.Next(ctx, Query{Next: ">", Sequence: 1}, firstBatch)
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := request(ctx)
			require.ErrorIs(t, err, nats.ErrTimeout)
			require.True(t, IsTransient(err))
		})
	}
}

func failing(request func(context.Context) (any, error)) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := request(ctx)
		return err
	}
}

// TestGuard_FailedWatchEnds: a watch that fails leaves nothing in the context of its caller, which begins it again for as long
// as the process runs. One that succeeds goes on.
func TestGuard_FailedWatchEnds(t *testing.T) {
	t.Parallel()
	for _, g := range []guard{{rights: newRights(slog.New(slog.DiscardHandler))}, {}} {
		for _, failed := range []error{nil, errors.New("away")} {
			var watchErr func() error
			_, err := lasting(t.Context(), g, nil, to("x"), func(ctx context.Context) (int, error) {
				watchErr = ctx.Err
				return 0, failed
			})
			require.Equal(t, failed, err)
			require.Equal(t, failed != nil, watchErr() != nil)
		}
	}
}

// TestGuard_LostBeginOfWatch: a watch whose first request is lost ends, so that its caller begins it again. The time of one
// that has begun is not bounded.
func TestGuard_LostBeginOfWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := guard{rights: newRights(slog.New(slog.DiscardHandler))}
		caller, cancel := context.WithTimeout(t.Context(), 2*APITimeout) // at once, by the clock of synctest
		defer cancel()
		_, err := lasting(caller, g, nil, to("x"), func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		})
		require.ErrorIs(t, err, nats.ErrTimeout)
		require.True(t, IsTransient(err))
		begun, err := lasting(t.Context(), g, nil, to("x"), func(ctx context.Context) (context.Context, error) {
			return ctx, nil
		})
		require.NoError(t, err)
		<-caller.Done()
		require.NoError(t, begun.Err())
	})
}
