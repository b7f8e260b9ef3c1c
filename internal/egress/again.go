package egress

import (
	"context"
	"errors"
	"net/http"

	"golang.org/x/net/http2"
)

// closedWhileKept reports whether a request failed only because a connection of an earlier request was closed meanwhile:
// endpoints close idle connections, and the request crosses the close on its way. Such a request is sent once more on a new
// connection, within the same attempt, so that a step that must not be retried does not fail. It reports false for a
// connection that was made for this request, for a response of which at least one byte arrived, and for an attempt that
// has timed out: in these cases the endpoint has failed, and the retry policy applies.
func closedWhileKept(ctx context.Context, p *progress, err error) bool {
	return ctx.Err() == nil && !isTimeout(err) && !isTLS(err) && !endsStream(err) && p.silentSinceReuse()
}

// endsStream reports whether the endpoint ended only this request: an HTTP/2 endpoint can reset one stream and serve the
// others on the connection.
func endsStream(err error) bool {
	_, ok := errors.AsType[http2.StreamError](err)
	return ok
}

// silentSinceReuse reports whether the attempt reused a connection and received no byte of a response on it.
func (p *progress) silentSinceReuse() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reused && p.firstByte.IsZero()
}

// onNewConnection sends a request on a new connection, which is closed after the response. Another kept connection could be
// closed as well: an endpoint that restarts closes all of them.
func onNewConnection(t *http.Transport, req *http.Request) (*http.Response, error) {
	single := t.Clone()
	single.DisableKeepAlives = true
	return single.RoundTrip(req)
}
