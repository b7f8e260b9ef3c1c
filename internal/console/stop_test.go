package console

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestStop_PagesAndActions: a page ends when the console stops, an action goes on.
func TestStop_PagesAndActions(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	r := newConnectedRig(t, func(o *Options) {
		o.Retry = func(ctx context.Context, request func(context.Context) error) error {
			arrived <- struct{}{}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-release:
				return request(ctx)
			}
		}
	})
	b := r.login(t, operatorToken)
	require.NoError(t, r.Start("127.0.0.1:0"))
	send := func(method, path string, form url.Values) <-chan string {
		answer := make(chan string, 1)
		request, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.Addr()+path, strings.NewReader(form.Encode()))
		require.NoError(t, err)
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.AddCookie(b.cookie)
		go func() {
			defer close(answer)
			transport := &http.Transport{DisableKeepAlives: true}
			response, err := transport.RoundTrip(request)
			if err != nil {
				return
			}
			defer response.Body.Close()
			text, _ := io.ReadAll(response.Body)
			answer <- response.Status + " " + string(text)
		}()
		<-arrived
		return answer
	}
	page := send(http.MethodGet, "/conversations", nil)
	action := send(http.MethodPost, "/do/bot_pause", url.Values{
		"tenant": {"default"}, "bot": {"shop"}, "csrf": {b.csrf()}, "once": {r.sessions.newForm(b.cookie.Value)},
	})
	stopped := make(chan error, 1)
	go func() { stopped <- r.Stop(context.WithoutCancel(t.Context())) }()
	answer := <-page
	require.Contains(t, answer, "503 ")
	require.Contains(t, answer, "the starter is stopping: try again")
	close(release)
	require.Contains(t, <-action, "303 ")
	require.NoError(t, <-stopped)
	require.Equal(t, 1, r.stored(t)["paused"])
}

// TestStop_Bounded: what does not end does not delay the other parts of the starter.
func TestStop_Bounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		arrived, release := make(chan struct{}), make(chan struct{})
		r := newRig(t, func(o *Options) {
			o.Retry = func(context.Context, func(context.Context) error) error {
				close(arrived)
				<-release
				return context.Canceled
			}
		})
		b := r.login(t, viewerToken)
		near, far := net.Pipe()
		listener := &pipe{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
		listener.conns <- far
		r.serve(listener)
		_, err := near.Write([]byte("GET /conversations HTTP/1.1\r\nHost: x\r\nCookie: " + b.cookie.Name + "=" + b.cookie.Value + "\r\n\r\n"))
		require.NoError(t, err)
		<-arrived
		began := time.Now()
		require.ErrorIs(t, r.Stop(t.Context()), context.DeadlineExceeded)
		require.Equal(t, stopTimeout, time.Since(began))
		_, err = near.Read(make([]byte, 1))
		require.Error(t, err, "the connection is closed")
		close(release)
	})
}

// pipe is a listener with one connection.
type pipe struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (p *pipe) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipe) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipe) Addr() net.Addr { return &net.TCPAddr{} }
