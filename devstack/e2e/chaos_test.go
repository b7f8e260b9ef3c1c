package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/stack"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// chaosEnds maps the behavior of an endpoint to the error code of its step; "" is success.
var chaosEnds = map[string]fault.Kind{
	"reset": fault.Reset, "reset-head": fault.Reset, "reset-body": fault.Reset, "short-body": fault.Reset,
	"long-body": fault.BadResponse, "garbage": fault.BadResponse, "silent": fault.Timeout, "drip": fault.Timeout,
	"drip-head": fault.Timeout, "endless-body": fault.TooLarge, "endless-headers": fault.TooLarge,
	"endless-header": fault.TooLarge, "gzip-bomb": fault.Encoding, "hints": "", "endless-hints": fault.TooLarge,
	"switch": fault.BadResponse, "bad-chunk": fault.Reset, "two-lengths": fault.BadResponse, "redirect": fault.Redirect,
	"busy": fault.RateLimited,
}

// TestChaos_EachFaultHasItsErrorCode calls an endpoint in every way that it can go wrong:
// each ends with its error code and keeps the chat going.
func TestChaos_EachFaultHasItsErrorCode(t *testing.T) {
	t.Parallel()
	for _, name := range endpoint.Chaos() {
		require.Contains(t, chaosEnds, name)
	}
	samples := endpoint.New(endpoint.Options{})
	_, err := samples.Start()
	require.NoError(t, err)
	var steps strings.Builder
	for name, end := range chaosEnds {
		attempt := "30s"
		if end == fault.Timeout {
			attempt = "1s"
		}
		fmt.Fprintf(&steps, "  %s: {webhook: {path: /chaos/%s, timeout: 60s, attempt_timeout: %s, retry: {max_attempts: 1}}}\n",
			chaosStep(name), name, attempt)
	}
	bots := t.TempDir()
	file := fmt.Sprintf("bot: shop\nbase_urls: {test: %q}\nbot_break: {default: \"Sorry.\"}\nsteps:\n%s", samples.URL(), &steps)
	require.NoError(t, os.WriteFile(filepath.Join(bots, "shop.yaml"), []byte(file), 0o600))
	_, e := startWith(t, stack.Options{Bots: bots, Endpoint: samples})
	for name, want := range chaosEnds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e.request(t, "shop", name, chaosStep(name))
			r := e.replied(t, "shop", name, 1)[0]
			if want == "" {
				require.Equal(t, schemas.OutcomeSuccess, r.Outcome, "%+v", r.Error)
				return
			}
			require.Equal(t, schemas.OutcomeBotBreak, r.Outcome)
			requireKind(t, string(want), r)
			require.Equal(t, []schemas.Message{schemas.Text("Sorry.")}, r.Messages)
			require.Len(t, r.Attempts, 1)
			require.Less(t, r.Attempts[0].Bytes, int64(1<<20))
		})
	}
}

// TestWorker_MemoryIsBounded lets 48 steps meet endless bodies, endless headers and gzip bombs, eight at a time: the worker's
// memory must not grow by more than 100 MB over what ordinary steps of the same number take, of which the collector of garbage
// decides some 20. One gzip bomb is a gigabyte, and an endless body as much as the connection carries.
func TestWorker_MemoryIsBounded(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.start(t, "starter")
	worker := c.start(t, "worker")
	round := func(name string, steps ...string) {
		for i := range 8 {
			for _, step := range steps {
				c.engine.request(t, "shop", fmt.Sprintf("%s-%d", name, i), step)
			}
		}
		for i := range 8 {
			c.engine.replied(t, "shop", fmt.Sprintf("%s-%d", name, i), len(steps))
		}
	}
	round("ordinary", "ORDER", "ORDER", "ORDER", "ORDER", "ORDER", "ORDER")
	before := peakMemory(t, worker)
	round("endless", "ENDLESS", "BOMB", "HEADERS", "ENDLESS", "BOMB", "HEADERS")
	grown := peakMemory(t, worker) - before
	t.Logf("%d KB, grown by %d KB", before, grown)
	require.Less(t, grown, 100_000)
}

// peakMemory is the most memory that a program ever held, in KB.
func peakMemory(t *testing.T, p *proc) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	require.NoError(t, err)
	_, after, found := strings.Cut(string(status), "VmHWM:")
	require.True(t, found)
	var kb int
	_, err = fmt.Sscan(after, &kb)
	require.NoError(t, err)
	return kb
}
