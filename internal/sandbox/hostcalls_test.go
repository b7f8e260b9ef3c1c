package sandbox

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
)

// pipes is a listener whose connections are in memory, for bubbles of synctest.
type pipes struct {
	dialed chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{dialed: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.dialed:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{} }

// call sends the head of a host call and what there is of its body, and returns the connection.
func (p *pipes) call(t *testing.T, length int, body string) net.Conn {
	t.Helper()
	return p.callTo(t, hostName, length, body)
}

func (p *pipes) callTo(t *testing.T, host string, length int, body string) net.Conn {
	t.Helper()
	near, far := net.Pipe()
	p.dialed <- far
	_, err := fmt.Fprintf(near, "POST http://%[1]s/send HTTP/1.1\r\nHost: %[1]s\r\nContent-Length: %[2]d\r\n\r\n%[3]s", host, length, body)
	require.NoError(t, err)
	return near
}

// hostAnswer reads an answer and the kind and detail of its problem.
func hostAnswer(t *testing.T, c net.Conn) (int, fault.Kind) {
	t.Helper()
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	defer r.Body.Close()
	var problem struct {
		Kind fault.Kind `json:"kind"`
	}
	text, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &problem), "%s", text)
	return r.StatusCode, problem.Kind
}

// hostOf serves host calls in a bubble.
func hostOf(t *testing.T, host http.HandlerFunc) *pipes {
	t.Helper()
	p := newPipes()
	stop := serveProxy(p, Job{Host: host}, Options{Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() {
		stop()
		<-time.After(time.Second) // of the bubble: the server waits for clients that read what it sent last
	})
	return p
}

func TestProxy_HostCallsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		p := hostOf(t, func(w http.ResponseWriter, _ *http.Request) {
			<-release
			fmt.Fprint(w, "{}")
		})
		var running []net.Conn
		for range hostCallsAtOnce {
			c := p.call(t, 2, "{}")
			defer c.Close()
			running = append(running, c)
		}
		synctest.Wait()
		ninth := p.call(t, 2, "{}")
		defer ninth.Close()
		status, kind := hostAnswer(t, ninth)
		require.Equal(t, http.StatusTooManyRequests, status)
		require.Equal(t, fault.RateLimited, kind)

		close(release)
		for _, c := range running {
			status, _ := hostAnswer(t, c)
			require.Equal(t, http.StatusOK, status)
		}
		synctest.Wait()
		next := p.call(t, 2, "{}")
		defer next.Close()
		status, _ = hostAnswer(t, next)
		require.Equal(t, http.StatusOK, status, "a call that was answered leaves its place")
	})
}

// TestProxy_RejectedHostCallRead: a client sends its whole body before it reads the response. A rejected call does not take a
// place meanwhile.
func TestProxy_RejectedHostCallRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		p := hostOf(t, func(w http.ResponseWriter, _ *http.Request) {
			<-release
			fmt.Fprint(w, "{}")
		})
		var ninth net.Conn
		for range 2 {
			var running []net.Conn
			for range hostCallsAtOnce {
				c := p.call(t, 2, "{}")
				defer c.Close()
				running = append(running, c)
			}
			synctest.Wait()
			if ninth == nil {
				ninth = p.call(t, hostCallMax, strings.Repeat(" ", hostCallMax-1))
				defer ninth.Close()
			}
			for range running {
				release <- struct{}{}
			}
			for _, c := range running {
				status, _ := hostAnswer(t, c)
				require.Equal(t, http.StatusOK, status)
			}
			synctest.Wait()
		}
		_, err := io.WriteString(ninth, " ")
		require.NoError(t, err)
		status, kind := hostAnswer(t, ninth)
		require.Equal(t, http.StatusTooManyRequests, status)
		require.Equal(t, fault.RateLimited, kind)
	})
}

// TestProxy_RejectedBodiesBounded: a run cannot keep the proxy busy with the bodies of requests that it rejects.
func TestProxy_RejectedBodiesBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := hostOf(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") })
		denied := func(c net.Conn) {
			response, err := http.ReadResponse(bufio.NewReader(c), nil)
			require.NoError(t, err)
			require.Equal(t, http.StatusForbidden, response.StatusCode)
			require.NoError(t, response.Body.Close())
			require.NoError(t, c.Close())
		}
		began := time.Now()
		var waiting []net.Conn
		for range discardsMax {
			waiting = append(waiting, p.callTo(t, "shop.example", 2, "{"))
		}
		synctest.Wait()
		denied(p.callTo(t, "shop.example", 2, "{"))
		require.Zero(t, time.Since(began))
		for _, c := range waiting {
			denied(c)
		}
		require.Equal(t, hostCallTimeout, time.Since(began))
	})
}

// TestProxy_RejectedBodyRead: rejections of calls that are too large, and of requests to hosts, are read too.
func TestProxy_RejectedBodyRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := hostOf(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") })
		large := p.call(t, 2*hostCallMax, strings.Repeat(" ", 2*hostCallMax))
		defer large.Close()
		status, kind := hostAnswer(t, large)
		require.Equal(t, http.StatusRequestEntityTooLarge, status)
		require.Equal(t, fault.TooLarge, kind)

		denied := p.callTo(t, "shop.example", hostCallMax, strings.Repeat(" ", hostCallMax))
		defer denied.Close()
		response, err := http.ReadResponse(bufio.NewReader(denied), nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusForbidden, response.StatusCode)
		require.NoError(t, response.Body.Close())
	})
}

// TestProxy_HostCallsWithoutBody: calls whose bodies do not arrive take places too, for some seconds.
func TestProxy_HostCallsWithoutBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := hostOf(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") })
		var waiting []net.Conn
		for range hostCallsAtOnce {
			c := p.call(t, 1000, "{")
			defer c.Close()
			waiting = append(waiting, c)
		}
		synctest.Wait()
		ninth := p.call(t, 2, "{}")
		defer ninth.Close()
		status, _ := hostAnswer(t, ninth)
		require.Equal(t, http.StatusTooManyRequests, status)

		began := time.Now()
		for _, c := range waiting {
			status, kind := hostAnswer(t, c)
			require.Equal(t, http.StatusRequestTimeout, status)
			require.Equal(t, fault.Timeout, kind)
		}
		require.Equal(t, hostCallTimeout, time.Since(began))
	})
}

// TestProxy_LongHostCall: the time for the body does not bound the call.
func TestProxy_LongHostCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := hostOf(t, func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-time.After(time.Minute):
			}
			fmt.Fprintf(w, `{"kind":"%v"}`, r.Context().Err())
		})
		for _, body := range []string{"{}", ""} {
			c := p.call(t, len(body), body)
			defer c.Close()
			_, kind := hostAnswer(t, c)
			require.Equal(t, fault.Kind("<nil>"), kind, "%q", body)
		}
	})
}

func TestProxy_HostCallLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := hostOf(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") })
		large := p.call(t, hostCallMax+1, "")
		defer large.Close()
		go func() { _, _ = io.WriteString(large, strings.Repeat(" ", hostCallMax+1)) }() // ends with the connection
		status, kind := hostAnswer(t, large)
		require.Equal(t, http.StatusRequestEntityTooLarge, status)
		require.Equal(t, fault.TooLarge, kind)
		for range hostCallsMax - 1 {
			c := p.call(t, 2, "{}")
			status, _ := hostAnswer(t, c)
			require.Equal(t, http.StatusOK, status)
			require.NoError(t, c.Close())
		}
		more := p.call(t, 2, "{}")
		defer more.Close()
		status, kind = hostAnswer(t, more)
		require.Equal(t, http.StatusTooManyRequests, status)
		require.Equal(t, fault.RateLimited, kind)
	})
}

func TestJob_ParamsCount(t *testing.T) {
	t.Parallel()
	half := json.RawMessage(`"` + strings.Repeat("x", JobMax/2) + `"`)
	j := Job{Script: "def main(e, c): pass", Params: []json.RawMessage{half}}
	require.Nil(t, j.check())
	j.Params = append(j.Params, half)
	require.Equal(t, fault.TooLarge, j.check().Kind)
}
