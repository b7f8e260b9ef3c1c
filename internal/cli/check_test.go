package cli_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/cli"
	"github.com/hookturn/hookturn/internal/conformance"
	"github.com/hookturn/hookturn/internal/freeport"
	"github.com/hookturn/hookturn/internal/secret"
	"github.com/hookturn/hookturn/internal/signature"
)

const checkSecret = "whsec_aG9va3R1cm4gZXhhbXBsZSBzZWNyZXQsIGZvciB0cmlhbHM="

// careful is a receiver that does all that docs/integrators asks for. The field without names the part that it gets wrong.
type careful struct {
	scheme  signature.Scheme
	answer  string
	without string

	mu    sync.Mutex
	seen  map[string]int
	again int // answers of a receiver that does not remember them
}

func (c *careful) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	now := time.Now()
	if c.without == "replayed_timestamp" {
		now = now.Add(-time.Hour)
	}
	invalid := signature.Verify(r.Header, c.scheme, []secret.Value{secret.New(checkSecret)}, now, body)
	c.mu.Lock()
	defer c.mu.Unlock()
	id := r.Header.Get("Webhook-Id")
	if c.seen[id] == 0 {
		c.seen[id] = len(c.seen) + 1
	}
	number := c.seen[id]
	var members map[string]any
	known := json.Unmarshal(body, &members) == nil
	switch {
	case err != nil:
		w.WriteHeader(http.StatusBadRequest)
	case invalid != nil && c.without == "missing_signature" && r.Header.Get(signature.HeaderStandard)+r.Header.Get(signature.HeaderHubSHA1) == "":
	case invalid != nil && c.without == "wrong_signature":
		w.WriteHeader(http.StatusInternalServerError)
		return
	case invalid != nil && c.without != "replayed_timestamp":
		w.WriteHeader(http.StatusUnauthorized)
		return
	case invalid != nil && r.Header.Get(signature.HeaderTimestamp) == "":
		w.WriteHeader(http.StatusUnauthorized)
		return
	case !strings.Contains(r.Header.Get("Content-Type"), "json") && c.without != "wrong_content_type":
		w.WriteHeader(http.StatusUnsupportedMediaType)
		return
	case len(body) > 64<<10 && c.without == "large_request":
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	case known && members["hookturn_check"] != nil && c.without == "unknown_members":
		w.WriteHeader(http.StatusBadRequest)
		return
	case strings.Contains(string(body), "שלום") && c.without == "unicode":
		_, _ = w.Write([]byte("\xff"))
		return
	case c.without == "same_id_twice":
		c.again++
		number = c.again
	case c.without == "valid":
		_, _ = io.WriteString(w, "{")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, strings.ReplaceAll(c.answer, "N", string(rune('a'+number%26))))
}

// reportOf runs the command and returns its exit status and its report.
func reportOf(t *testing.T, url string, args ...string) (int, conformance.Report) {
	t.Helper()
	w := &world{}
	status := w.run(testContext(t), cli.StarterCommand(), append([]string{"check", url, "--output", "json"}, args...)...)
	var report conformance.Report
	require.NoError(t, json.Unmarshal([]byte(w.out.String()), &report), "%s %s", &w.out, &w.err)
	return status, report
}

func TestCheck_CarefulReceiver(t *testing.T) {
	t.Parallel()
	for dialect, c := range map[string]*careful{
		"plain":  {scheme: signature.Standard, answer: `{"messages":[{"type":"text","text":"N"}]}`},
		"haptik": {scheme: signature.HubSHA1, answer: `{"status":true,"response":["N"]}`},
	} {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			c.seen = map[string]int{}
			s := httptest.NewServer(c)
			defer s.Close()
			status, report := reportOf(t, s.URL, "--dialect", dialect, "--secret", checkSecret)
			require.Zero(t, status, "%+v", report)
			require.Len(t, report.Checks, 10)
			for _, check := range report.Checks {
				want := conformance.Pass
				if check.Name == "replayed_timestamp" && dialect == "haptik" {
					want = conformance.Skip
				}
				require.Equal(t, want, check.Result, "%+v", check)
			}
		})
	}
}

func TestCheck_CarelessReceiver(t *testing.T) {
	t.Parallel()
	for without, want := range map[string]conformance.Result{
		"valid": conformance.Fail, "wrong_signature": conformance.Fail, "missing_signature": conformance.Fail,
		"replayed_timestamp": conformance.Fail, "same_id_twice": conformance.Warn, "large_request": conformance.Fail,
		"unicode": conformance.Fail, "unknown_members": conformance.Fail, "wrong_content_type": conformance.Warn,
	} {
		t.Run(without, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(&careful{
				scheme: signature.Standard, answer: `{"messages":[{"type":"text","text":"N"}]}`, without: without, seen: map[string]int{},
			})
			defer s.Close()
			status, report := reportOf(t, s.URL, "--secret", checkSecret)
			for _, check := range report.Checks {
				if check.Name == without {
					require.Equal(t, want, check.Result, "%+v", check)
				}
			}
			require.Equal(t, want == conformance.Fail, status == 4, "%+v", report)
		})
	}
}

func TestCheck_Unreachable(t *testing.T) {
	t.Parallel()
	status, report := reportOf(t, fmt.Sprintf("http://127.0.0.1:%d", freeport.Choose()), "--secret", checkSecret)
	require.Equal(t, 5, status)
	require.Equal(t, "connect", string(report.Checks[0].Kind))
}

func TestCheck_WithoutSecret(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // a server that does not read a large body resets the connection
		_, _ = io.WriteString(w, "{}")
	}))
	defer s.Close()
	status, report := reportOf(t, s.URL, "--dialect", "twoway")
	require.Zero(t, status, "%+v", report)
	require.Equal(t, conformance.Skip, report.Checks[1].Result)
}

func TestCheck_Usage(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"expected an absolute http or https URL": {"shop.example"},
		"invalid URL: it has a fragment":         {"http://shop.example/#a"},
		"invalid --dialect":                      {"http://shop.example", "--dialect", "other"},
		"invalid --scheme":                       {"http://shop.example", "--scheme", "other"},
		"invalid --secret":                       {"http://shop.example", "--secret", "a\u200bb"},
	} {
		w := &world{}
		require.Equal(t, 2, w.run(testContext(t), cli.StarterCommand(), append([]string{"check"}, args...)...), want)
		require.Contains(t, w.err.String(), want)
	}
}
