package e2e

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/transient"
)

// next returns the next value of a channel, and its zero value once the channel is closed.
func next[T any](t testing.TB, from <-chan T, what string) (value T) {
	t.Helper()
	select {
	case value = <-from:
	case <-time.After(2 * patience):
		t.Fatalf("%s did not come within %s", what, 2*patience)
	}
	return value
}

// offer sends a value to a channel unless one waits there already: an endpoint may be asked again.
func offer[T any](to chan<- T, value T) {
	select {
	case to <- value:
	default:
	}
}

// happens waits until a condition holds, for limit at most, and reports whether it does. It is for what must be over before
// an attempt, which takes 30 s at most, has ended: a test goes on without it.
func happens(t testing.TB, limit time.Duration, what string, holds func() bool) bool {
	t.Helper()
	for began := time.Now(); !holds(); {
		if time.Since(began) > limit {
			t.Logf("%s did not come within %s", what, limit)
			return false
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-t.Context().Done():
			return false
		}
	}
	return true
}

// retried sends a request to NATS, and again while it fails only because the server is busy: a request ends after 5 s.
func retried(t testing.TB, request func(context.Context) error) {
	t.Helper()
	require.NoError(t, transient.Retry(t.Context(), patience, request))
}

// streamsOf returns the streams of hookturn on a connection, and creates those that are missing.
func streamsOf(t testing.TB, js bus.JetStream) (streams bus.Streams) {
	t.Helper()
	retried(t, func(ctx context.Context) (err error) {
		streams, err = bus.Setup(ctx, js, bus.StreamOptions{})
		return err
	})
	return streams
}

// deleteStream deletes a stream. One that is not there any more was deleted by a request whose answer was late.
func deleteStream(t testing.TB, js jetstream.JetStream, name string) {
	t.Helper()
	sent := 0
	retried(t, func(ctx context.Context) error {
		err := js.DeleteStream(ctx, name)
		if sent++; sent > 1 && errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil
		}
		return err
	})
}

// awaitListening waits until a server answers HTTP, with any status.
func awaitListening(t testing.TB, addr string) {
	t.Helper()
	require.Eventually(t, func() bool {
		answer, err := http.Get("http://" + addr + "/")
		if err == nil {
			_ = answer.Body.Close()
		}
		return err == nil
	}, patience, 50*time.Millisecond, "nothing listens at %s", addr)
}

// send sends a request to hookturn, and again while the response is 503: a busy Temporal, NATS or worker is not what a test
// is about.
func send(request *http.Request) (status int, header http.Header, body string, err error) {
	for began := time.Now(); ; {
		if request.GetBody != nil {
			if request.Body, err = request.GetBody(); err != nil {
				return 0, nil, "", err
			}
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0, nil, "", err
		}
		text, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusServiceUnavailable || time.Since(began) > patience {
			return answer.StatusCode, answer.Header, string(text), err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-request.Context().Done():
			return answer.StatusCode, answer.Header, string(text), nil
		}
	}
}

// callBack posts JSON to the callback address of a step.
func callBack(t testing.TB, address, body string) (status int, text string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	status, _, text, err = send(request)
	require.NoError(t, err)
	return status, text
}

// TestCallBack_RepeatedAfter503: the whole body is sent again.
func TestCallBack_RepeatedAfter503(t *testing.T) {
	t.Parallel()
	var bodies []string
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies = append(bodies, string(body))
		w.WriteHeader(map[bool]int{true: http.StatusAccepted, false: http.StatusServiceUnavailable}[len(bodies) == 3])
	}))
	defer gateway.Close()
	status, _ := callBack(t, gateway.URL, `{"messages":[]}`)
	require.Equal(t, http.StatusAccepted, status)
	require.Equal(t, []string{`{"messages":[]}`, `{"messages":[]}`, `{"messages":[]}`}, bodies)
}
