package activities_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/dialect/haptik"
	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

func (b *bundle) Get(ctx context.Context, tenant, user string) (json.RawMessage, error) {
	if b.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return b.users[tenant+"/"+user], b.broken
}

// Update orders whole writes, as if each had all members.
func (b *bundle) Update(_ context.Context, tenant, user string, w store.UserUpdate) (store.UserDetails, error) {
	key := tenant + "/" + user
	if b.broken != nil {
		return store.UserDetails{}, b.broken
	}
	if b.fences = append(b.fences, w.Fence); w.Fence != 0 && w.Fence < slices.Max(b.fences) {
		return store.UserDetails{Details: b.users[key], Dropped: 1}, nil
	}
	changed, err := w.Merge(b.users[key], w.Members)
	if err != nil {
		return store.UserDetails{Details: b.users[key]}, err
	}
	b.users[key], b.writer = changed, w.Writer
	return store.UserDetails{Details: changed, Written: w.Members}, nil
}

func (b *bundle) Settle(_ context.Context, tenant, user string, details json.RawMessage, writer string) error {
	if b.writer == writer {
		b.users[tenant+"/"+user] = details
	}
	return b.broken
}

// Undo takes details that a test has set for those of the write.
func (b *bundle) Undo(_ context.Context, tenant, user, writer string, members map[string]json.RawMessage) error {
	if b.broken != nil || b.writer != "" && b.writer != writer {
		return b.broken
	}
	update, err := json.Marshal(members)
	if err != nil {
		return err
	}
	b.users[tenant+"/"+user], err = haptik.New().MergeUserDetails(b.users[tenant+"/"+user], update)
	return err
}

func TestWebhook_UserDetailsAreMergedAndKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.users["default/91"] = json.RawMessage(`{"language_code":"en","city":"Utrecht"}`)
	b.answer = func(int) (*egress.Response, error) {
		return response(200, `{"response":["ok"],"user_details":{"city":null,"shoe":"43"}}`), nil
	}
	result, err := b.call(b.input(t, "PLAIN"))
	require.NoError(t, err)
	require.Contains(t, string(b.requests[0].Body), `"city":"Utrecht"`)
	require.JSONEq(t, `{"language_code":"en","shoe":"43"}`, string(b.users["default/91"]))
	require.JSONEq(t, `{"language_code":"en","shoe":"43"}`, string(result.UserDetails))
}

func TestWebhook_UserStoreThatIsAwayIsRetried(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.broken = errors.New("away")
	_, err := b.call(b.input(t, "PLAIN"))
	p := progress(t, err)
	require.Equal(t, fault.Internal, p.Fault.Kind)
	require.Positive(t, p.RetryIn)
	require.Empty(t, b.requests)
}

func TestWebhook_AnsweredEndpointIsNotAskedAgainForTheStore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.answer = func(int) (*egress.Response, error) {
		b.broken = errors.New("away") // from now on
		return response(200, `{"response":["ok"],"user_details":{"shoe":"43"}}`), nil
	}
	result, err := b.call(b.input(t, "PLAIN"))
	require.NoError(t, err)
	require.Equal(t, []schemas.Message{schemas.Text("ok")}, result.Messages)
	require.Equal(t, fault.Internal, result.Problem.Kind)
	require.Len(t, b.requests, 1)
}

// logged returns what the activities log from now on.
func (b *bundle) logged() *bytes.Buffer {
	var log bytes.Buffer
	b.activities.Log = slog.New(slog.NewTextHandler(&log, nil))
	return &log
}

// TestCallWebhook_UserDetailsOfALaterStep: a step of the same user that began later has written first. The reply reports
// what was not stored.
func TestCallWebhook_UserDetailsOfALaterStep(t *testing.T) {
	t.Parallel()
	b := setup(t)
	log := b.logged()
	in := b.input(t, "PLAIN")
	in.Accepted = time.Now()
	b.users["default/91"], b.fences = json.RawMessage(`{"shoe":"44"}`), []int64{in.Accepted.Add(time.Second).UnixNano()}
	b.answer = func(int) (*egress.Response, error) {
		return response(200, `{"response":["ok"],"user_details":{"shoe":"43"}}`), nil
	}
	result, err := b.call(in)
	require.NoError(t, err)
	require.JSONEq(t, `{"shoe":"44"}`, string(result.UserDetails))
	require.Nil(t, result.Wrote, "nothing to undo")
	reply := in.Replied(result, nil)
	require.Equal(t, schemas.OutcomeSuccess, reply.Outcome)
	require.Equal(t, string(fault.Expired), reply.Error.Kind)
	require.NotContains(t, reply.Error.Message, "shoe")
	require.Contains(t, log.String(), `level=INFO msg="user details of a later step kept"`)
	require.NotContains(t, log.String(), "shoe")
}

// TestCallWebhook_PausedWorkerUndoesItsWriteOnly: the engine has read the reply of another attempt, and a later step has
// written the same value for the same member.
func TestCallWebhook_PausedWorkerUndoesItsWriteOnly(t *testing.T) {
	t.Parallel()
	js, streams := connect(t)
	for name, c := range map[string]struct {
		before time.Duration // how long the other step began before; 0: none
		want   string
	}{
		"no other step":   {0, `{"language_code":"en","name":"Guest User"}`},
		"a later step":    {-time.Second, `{"language_code":"en","name":"Guest User","verified":"yes"}`},
		"an earlier step": {time.Hour, `{"language_code":"en","name":"Guest User","verified":"yes"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, users := setup(t), store.NewUsers(js, streams)
			b.activities.Users, b.local = users, true
			in := b.input(t, "PLAIN")
			in.Event.Subject, in.Reply, in.User.ID, in.Accepted = "c-42", true, name, time.Now().Add(-time.Minute)
			b.answer = func(int) (*egress.Response, error) {
				return response(200, `{"response":["ok"],"user_details":{"verified":"yes"}}`), nil
			}
			b.stored = readBefore(t, in, func(r *schemas.StepReplied) {
				*r = in.Replied(step.WebhookResult{}, fault.New(fault.Status, "the endpoint responded with 409"))
			})
			b.publish = func(schemas.Reply) error { return nil }
			if c.before != 0 {
				_, err := users.Update(t.Context(), "default", name, store.UserUpdate{
					Members: json.RawMessage(`{"verified":"yes"}`), Merge: haptik.New().MergeUserDetails,
					Fence: in.Accepted.Add(-c.before).UnixNano(), Writer: "other",
				})
				require.NoError(t, err)
			}
			_, err := b.call(in)
			require.Error(t, err, "the step ends as the engine has read")
			got, err := users.Get(t.Context(), "default", name)
			require.NoError(t, err)
			require.JSONEq(t, c.want, string(got))
		})
	}
}

// connect starts a server with streams and a connection to it.
func connect(t *testing.T) (jetstream.JetStream, bus.Streams) {
	t.Helper()
	nc, js, err := bus.Connect(t.Context(), natsclient.Login{URL: natstest.Start(t).ClientURL()}, t.Name(), nil)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	streams, err := bus.Setup(t.Context(), js, bus.StreamOptions{})
	require.NoError(t, err)
	return js, streams
}

// TestCallWebhook_ServerClockBehind: the clock of the Temporal server is behind that of NATS. A step is not before its
// event.
func TestCallWebhook_ServerClockBehind(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.answer = func(int) (*egress.Response, error) {
		return response(200, `{"response":["ok"],"user_details":{"shoe":"43"}}`), nil
	}
	in := b.input(t, "PLAIN")
	in.Stored = time.Now()
	in.Accepted = in.Stored.Add(-10 * time.Minute)
	_, err := b.call(in)
	require.NoError(t, err)
	require.Equal(t, []int64{in.Stored.UnixNano() + 1}, b.fences)
}
