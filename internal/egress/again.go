package egress

import (
	"context"
	"errors"
	"net/http"

	"golang.org/x/net/http2"
)

// closedWhileKept reports whether a request failed only because a connection of an earlier request was closed meanwhile:
// endpoints close idle connections, and the request crosses the close on its way. Such a request is sent once more on a new
// connection, within the same attempt, so that it costs no step that must not be retried. A connection that was made for
// this request, an answer of which a single byte came, and an attempt whose time is over do not count: there the endpoint
// has failed, and what follows is the retry policy's to say.
func closedWhileKept(ctx context.Context, p *progress, err error) bool {
	return ctx.Err() == nil && !isTimeout(err) && !isTLS(err) && !endsStream(err) && p.silentSinceReuse()
}

// endsStream reports whether the endpoint ended this request alone: with HTTP/2 it can do so and serve the others on the
// connection.
func endsStream(err error) bool {
	_, ok := errors.AsType[http2.StreamError](err)
	return ok
}

// silentSinceReuse reports whether the attempt got a connection of an earlier request and no byte of an answer on it.
func (p *progress) silentSinceReuse() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reused && p.firstByte.IsZero()
}

// onNewConnection makes a request on a connection of its own, which is closed behind the answer. A kept one could be closed
// as well: an endpoint that restarts closes all of them.
func onNewConnection(t *http.Transport, req *http.Request) (*http.Response, error) {
	single := t.Clone()
	single.DisableKeepAlives = true
	return single.RoundTrip(req)
}
