package eventreader

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/loglimit"
)

// TestRetryLog_OneLineAMinute: thousands of tries of a kind are one line a minute, with their number.
func TestRetryLog_OneLineAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		counted := map[string]int{}
		l := newRetryLog(slog.New(slog.NewTextHandler(&text, nil)), func(tenant, kind string) { counted[tenant+" "+kind]++ })
		m := &Message{Sequence: 7}
		for range 1000 {
			l.note("acme", Retry("unavailable", errors.New("away")), m, time.Second)
			l.note("acme", Retry("timeout", errors.New("too late")), nil, time.Second)
		}
		require.Equal(t, 2, strings.Count(text.String(), "\n"))
		<-time.After(loglimit.Every)
		l.note("acme", Retry("unavailable", errors.New("away")), m, time.Second)
		require.Equal(t, 3, strings.Count(text.String(), "\n"))
		require.Contains(t, text.String(), "kind=unavailable tries=1000")
		require.Equal(t, map[string]int{"acme unavailable": 1001, "acme timeout": 1000}, counted)
	})
}
