package sandbox

import (
	"bytes"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestProxy_DeniedConnectionsInTheLog: a script decides how many connections it asks for and by which names. It writes neither
// more lines than a run may, nor long ones.
func TestProxy_DeniedConnectionsInTheLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	o := Options{Log: slog.New(slog.NewTextHandler(&log, nil))}
	stop := serveProxy(listener, Job{Step: "ORDER"}, o)
	stop()
	require.Empty(t, log.String())
	p := &proxy{job: Job{Step: "ORDER"}, options: o}
	for n := range 10 * deniedLogged {
		host := "127.0.0.1:443"
		if n%2 == 0 {
			host = strings.Repeat("x", 60<<10) + ".example:443"
		}
		r := httptest.NewRequest(http.MethodConnect, "http://proxy", nil)
		r.Host = host
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		require.GreaterOrEqual(t, w.Code, http.StatusForbidden)
	}
	p.end()
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	require.Len(t, lines, deniedLogged+1)
	for _, line := range lines {
		require.Less(t, len(line), 1024)
	}
	require.Contains(t, lines[deniedLogged], "count=180")
}
