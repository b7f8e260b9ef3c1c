package chaos_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/chaos"
	"github.com/hookturn/hookturn/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.VerifyTestMain(m) }

// TestServer_NothingIsAGoodAnswer asks for every path as a client with bounds does: none of them gives a complete answer of
// status 200 with JSON in it, but those that are only slow or wordy.
func TestServer_NothingIsAGoodAnswer(t *testing.T) {
	t.Parallel()
	s, err := chaos.Start("127.0.0.1:0")
	require.NoError(t, err)
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for _, path := range chaos.Paths() {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL()+path, http.NoBody)
		require.NoError(t, err)
		answer, err := client.Do(r)
		if err == nil {
			var text []byte
			text, err = io.ReadAll(io.LimitReader(answer.Body, 1<<20))
			require.NoError(t, answer.Body.Close())
			good := err == nil && answer.StatusCode == http.StatusOK && len(text) < 1<<20
			require.False(t, good && path != "/hints" && path != "/long-body", "%s: %d %.80q", path, answer.StatusCode, text)
		}
		cancel()
	}
	require.NoError(t, s.Stop(t.Context()), "connections in hand are cut off")
}
