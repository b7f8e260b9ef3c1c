package cli_test

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/conformance"
	"github.com/hookturn/hookturn/internal/dialect/twoway"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/fault"
)

// read reads a request, as a server does that keeps its connections.
func read(r *http.Request) []byte {
	body, _ := io.ReadAll(r.Body)
	return body
}

// TestCheck_AsAWorkerReads checks that an answer passes when a worker can use it, and fails with the worker's error code when
// it cannot.
func TestCheck_AsAWorkerReads(t *testing.T) {
	t.Parallel()
	compressed := func(w http.ResponseWriter) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, "{}")
		_ = z.Close()
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		kind   fault.Kind
	}{
		"compressed": {func(w http.ResponseWriter, _ *http.Request) { compressed(w) }, fault.Encoding},
		"compressed where it is accepted": {func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
				compressed(w)
				return
			}
			_, _ = io.WriteString(w, "{}")
		}, ""},
		"a callback that was not offered": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusAccepted)
		}, fault.Config},
		"202 with an answer": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, `{"messages":["a"]}`)
		}, ""},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/other", http.StatusFound)
		}, fault.Redirect},
		"too large": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat(" ", 1<<20)+"{}")
		}, fault.TooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				read(r)
				c.answer(w, r)
			}))
			defer s.Close()
			status, report := reportOf(t, s.URL)
			require.Equal(t, c.kind, report.Checks[0].Kind, "%+v", report.Checks[0])
			require.Equal(t, c.kind == "", report.Checks[0].Result == conformance.Pass, "%+v", report.Checks[0])
			require.Equal(t, c.kind == "", status == 0)
			require.False(t, report.Unreachable)
		})
	}
}

// TestCheck_RequestsAreThoseOfAWorker checks that a request of each dialect is one that a worker could send: its size, and
// the channel of its chat.
func TestCheck_RequestsAreThoseOfAWorker(t *testing.T) {
	t.Parallel()
	for _, dialect := range dialects.New(nil).Names() {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			var largest atomic.Int64
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body := read(r)
				largest.Store(max(largest.Load(), int64(len(body))))
				var request struct{ Chat *twoway.Chat }
				if json.Unmarshal(body, &request) == nil && request.Chat != nil && !slices.Contains(twoway.Channels(), request.Chat.Channel) {
					w.WriteHeader(http.StatusBadRequest)
					return
				}
				_, _ = io.WriteString(w, `{"status":true,"response":["a"],"messages":["a"]}`)
			}))
			defer s.Close()
			status, report := reportOf(t, s.URL, "--dialect", dialect)
			require.Zero(t, status, "%+v", report)
			require.InDelta(t, 256<<10, largest.Load(), 4<<10)
		})
	}
}

// TestCheck_StatusOnly: where only the status of an answer counts, nothing about its body is a failure or a warning.
func TestCheck_StatusOnly(t *testing.T) {
	t.Parallel()
	var served atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		read(r)
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, strconv.FormatInt(served.Add(1), 10)+strings.Repeat(" ", 1<<20))
	}))
	defer s.Close()
	status, report := reportOf(t, s.URL, "--dialect", bot.DialectTwoWay)
	require.Zero(t, status, "%+v", report)
	for _, c := range report.Checks {
		if c.Name == "same_id_twice" {
			require.Equal(t, conformance.Pass, c.Result, "%+v", c)
		}
	}
}
