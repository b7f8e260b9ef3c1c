package httpapi_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/httpapi"
)

// serve returns the response of a handler that returns err, and what was logged.
func serve(err error) (*httptest.ResponseRecorder, string) {
	var log bytes.Buffer
	w := httptest.NewRecorder()
	httpapi.Serve(slog.New(slog.NewTextHandler(&log, nil)), func(http.ResponseWriter, *http.Request) error { return err }).
		ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	return w, log.String()
}

func TestServe_WritesProblems(t *testing.T) {
	t.Parallel()
	hidden := errors.New("dial tcp 10.0.0.7:4222")
	for name, c := range map[string]struct {
		err    error
		status int
		kind   fault.Kind
		header http.Header
		logged string // "" = nothing
	}{
		"a problem":      {err: httpapi.Reject(404, "", "no such path"), status: 404},
		"wrapped":        {err: fmt.Errorf("x: %w", httpapi.RejectAt("/bot", "is required")), status: 400, kind: fault.BadEvent},
		"with a wait":    {err: httpapi.RejectFor(1500*time.Millisecond, fault.Internal, "try again"), status: 503, kind: fault.Internal, header: http.Header{"Retry-After": {"2"}}},
		"with its cause": {err: httpapi.Reject(500, fault.Internal, "failed").Because(hidden, "storing failed", "bot", "shop"), status: 500, kind: fault.Internal, logged: `msg="storing failed" bot=shop error="dial tcp 10.0.0.7:4222"`},
		"another error":  {err: hidden, status: 500, kind: fault.Internal, logged: "serving a request failed"},
		"NATS away":      {err: fmt.Errorf("x: %w", nats.ErrTimeout), status: 503, kind: fault.Internal, header: http.Header{"Retry-After": {"1"}}, logged: "serving a request failed"},
		"full": {err: &jetstream.APIError{Code: 503, ErrorCode: 10077, Description: "maximum bytes exceeded"}, status: 503, kind: fault.QueueFull,
			header: http.Header{"Retry-After": {"10"}}, logged: "serving a request failed"},
		"unauthorized": {err: httpapi.Unauthorized(), status: 401, header: http.Header{"Www-Authenticate": {`Bearer realm="hookturn"`}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, log := serve(c.err)
			require.Equal(t, c.status, w.Code)
			require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
			for header := range c.header {
				require.Equal(t, c.header.Get(header), w.Header().Get(header))
			}
			var p httpapi.Problem
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
			require.Equal(t, []any{c.status, c.kind, http.StatusText(c.status)}, []any{p.Status, p.Kind, p.Title})
			require.NotEmpty(t, p.Detail)
			require.NotContains(t, w.Body.String(), "10.0.0.7", "what is inside the installation is in the log only")
			if c.logged == "" {
				require.Empty(t, log)
			} else {
				require.Contains(t, log, c.logged)
			}
		})
	}
}

func TestServe_WritesNothingAfterSuccess(t *testing.T) {
	t.Parallel()
	w, log := serve(nil)
	require.Equal(t, http.StatusOK, w.Code)
	require.Empty(t, w.Body.String()+log)
}

// TestAnswer_HostileText: operators read answers in terminals, and the values are those of others.
func TestAnswer_HostileText(t *testing.T) {
	t.Parallel()
	const hostile = "x\u009b31m\u007f\u202ey"
	w := httptest.NewRecorder()
	require.NoError(t, httpapi.Answer(w, httpapi.MediaJSON, http.StatusOK, map[string]string{"detail": hostile}))
	require.Equal(t, `{"detail":"x\u009b31m\u007f\u202ey"}`, w.Body.String())
	w, _ = serve(httpapi.Reject(http.StatusBadRequest, fault.BadEvent, hostile))
	require.NotContains(t, w.Body.String(), "\u009b")
}
