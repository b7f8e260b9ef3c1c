package activities_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"

	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// TestCallWebhook_RepetitionJoinsTheRequest: however often the server runs an attempt again, the endpoint sees one request,
// during it and after its answer.
func TestCallWebhook_RepetitionJoinsTheRequest(t *testing.T) {
	t.Parallel()
	for name, local := range map[string]bool{"local activity": true, "activity": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.local = local
			h := b.holdRequests()
			in := b.input(t, "ONCE")
			type end struct {
				result step.WebhookResult
				err    error
			}
			ends := make(chan end, 3)
			call := func(b *bundle) {
				result, err := b.call(in)
				ends <- end{result, err}
			}
			go call(b)
			<-h.asked
			go call(b.again())
			close(h.open)
			call(b.again())
			first := <-ends
			require.NoError(t, first.err)
			require.Len(t, first.result.Attempts, 1)
			require.Equal(t, first, <-ends)
			require.Equal(t, first, <-ends)
			require.Len(t, b.requests, 1)
		})
	}
}

// TestCallWebhook_RepetitionOfAFailure: a failed attempt whose failure the server did not get is not made again either.
func TestCallWebhook_RepetitionOfAFailure(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.answer = func(int) (*egress.Response, error) { return response(http.StatusServiceUnavailable, ""), nil }
	in := b.input(t, "PLAIN")
	_, err := b.call(in)
	first := progress(t, err)
	_, err = b.again().call(in)
	second := progress(t, err)
	require.Equal(t, first.Attempts, second.Attempts)
	require.Positive(t, second.RetryIn)
	require.Len(t, b.requests, 1)
}

// TestCallWebhook_RepetitionOfASuccess: an answer whose reply waits for a slow NATS is not asked for again, although
// heartbeats went out since it came.
func TestCallWebhook_RepetitionOfASuccess(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.input(t, "PLAIN")
	in.Event.Subject, in.Reply = "c-42", true
	answered, heard := make(chan struct{}), make(chan step.Progress, 1)
	b.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{
		&listener{heard: func(_ context.Context, p step.Progress) {
			select {
			case <-answered:
				select {
				case heard <- p:
				default:
				}
			default:
			}
		}},
	}})
	var last step.Progress
	b.publish = func(schemas.Reply) error {
		close(answered)
		last = <-heard
		return errors.New("NATS is slow")
	}
	first, err := b.call(in)
	require.NoError(t, err)
	repeated := b.again()
	repeated.SetHeartbeatDetails(last)
	second, err := repeated.call(in)
	require.NoError(t, err)
	require.Equal(t, first, second)
	require.Len(t, b.requests, 1)
}

// TestCallWebhook_RepetitionOfTheEnd: a final failure is not tried again in another process.
func TestCallWebhook_RepetitionOfTheEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.SetHeartbeatDetails(step.Progress{
		Attempts: []schemas.Attempt{{N: 1, Status: 400, Error: "status"}}, Fault: fault.New(fault.Status, "status 400"), Replied: true,
	})
	_, err := b.call(b.input(t, "PLAIN"))
	p := progress(t, err)
	require.Len(t, p.Attempts, 1)
	require.True(t, p.Replied)
	require.Equal(t, fault.Status, p.Fault.Kind)
	require.Empty(t, b.requests)
}
