package egress

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// Request is one attempt to call an endpoint.
type Request struct {
	Method  string // "" is POST
	URL     string // absolute
	Header  http.Header
	Body    []byte // sent as it is; the caller keeps it and must not change it before Do returns
	Timeout time.Duration
	// BodyLimit bounds the response body; 0 is Options.BodyLimit, more than MaxBody is MaxBody.
	BodyLimit int64
	// TLS is what the connection needs beyond the usual; nil = nothing.
	TLS *Identity
}

// Response is an endpoint's answer of any status but 1xx and 3xx.
type Response struct {
	Status int
	Header http.Header
	// Body is never nil for a status of 2xx. For others it is nil when it could not be read completely: the status is
	// sufficient, and a large error page must not hide that a 503 can be retried.
	Body []byte
}

// Causes that a context may end with.
var (
	// ErrAttempt is the cause when the attempt timed out. A caller whose context has the same deadline uses it too.
	ErrAttempt = errors.New("the attempt timed out")
	// ErrCancelled is the cause when the step was cancelled. No other cause becomes fault.Cancelled, which is final.
	ErrCancelled = errors.New("the step was cancelled")
)

// Do sends one request and reads the whole response. It tries once: it does not follow redirects, and it sends a POST again
// only when a kept connection turns out to be closed (see closedWhileKept).
//
// The error is nil or a *fault.Fault. A status is not an error here, except 3xx: the dialect decides which statuses are
// successes. The record is always filled, except for its number.
func (c *Client) Do(ctx context.Context, r Request) (*Response, schemas.Attempt, error) {
	start := time.Now()
	a := schemas.Attempt{Started: start.UTC().Round(0), URL: unreadable}
	p := &progress{start: start}
	resp, f := c.attempt(ctx, r, &p, &a)
	p.fill(&a)
	if f != nil {
		a.Error = string(f.Kind)
		return nil, a, f
	}
	return resp, a, nil
}

// attempt stores the progress of the last connection in at.
func (c *Client) attempt(ctx context.Context, r Request, at **progress, a *schemas.Attempt) (*Response, *fault.Fault) {
	t, f := c.policy.target(r.URL)
	if t != nil {
		a.URL = t.shown()
	}
	if f != nil {
		return nil, f
	}
	timeout := c.timeout(r)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, ErrAttempt)
	defer cancel()
	req, f := c.request((*at).trace(ctx), t, r)
	if f != nil {
		return nil, f
	}
	// RoundTrip rather than http.Client: it follows no redirects, stores no cookies and adds no headers.
	transport := c.transportFor(t.class, r.TLS)
	resp, err := transport.RoundTrip(req)
	if err != nil && closedWhileKept(ctx, *at, err) {
		*at = &progress{start: (*at).start}
		resp, err = onNewConnection(transport, withBody(req.WithContext((*at).trace(ctx)), r.Body))
	}
	v := classifier{progress: *at, place: t.place, timeout: timeout, headerLimit: c.options.HeaderLimit}
	if err != nil {
		return nil, v.beforeHeaders(ctx, err)
	}
	defer resp.Body.Close()
	a.Status = resp.StatusCode
	if f := statusFault(resp.StatusCode, t.place); f != nil {
		return nil, f
	}
	body, f := readBody(ctx, resp, c.bodyLimit(r), &v, a)
	if f != nil {
		if good := resp.StatusCode/100 == 2; good || f.Kind == fault.Cancelled || f.Kind == fault.Internal {
			f.Status = resp.StatusCode
			return nil, f
		}
		body = nil
	}
	return &Response{Status: resp.StatusCode, Header: resp.Header, Body: body}, nil
}

func (c *Client) timeout(r Request) time.Duration {
	if r.Timeout <= 0 {
		return c.options.Timeout
	}
	return min(r.Timeout, c.options.MaxTimeout)
}

func (c *Client) bodyLimit(r Request) int64 {
	if r.BodyLimit <= 0 {
		return c.options.BodyLimit
	}
	return min(r.BodyLimit, MaxBody)
}

// request builds the HTTP request without http.NewRequest, which would parse the URL a second time and set GetBody, with
// which the transport sends a request again that failed on a kept-alive connection.
func (c *Client) request(ctx context.Context, t *target, r Request) (*http.Request, *fault.Fault) {
	if int64(len(r.Body)) > c.options.RequestLimit {
		return nil, fault.New(fault.TooLarge, "the request body for host %s has %d bytes; at most %d are sent", t.host,
			len(r.Body), c.options.RequestLimit)
	}
	method := r.Method
	if method == "" {
		method = http.MethodPost
	}
	if !httpguts.ValidHeaderFieldName(method) || strings.EqualFold(method, http.MethodConnect) {
		return nil, fault.New(fault.Config, "%q is not a valid method for a webhook", method)
	}
	header, f := c.header(r.Header)
	if f != nil {
		return nil, f
	}
	req := &http.Request{Method: method, URL: t.url, Host: t.url.Host, Header: header, ContentLength: int64(len(r.Body))}
	return withBody(req, r.Body).WithContext(ctx), nil
}

// withBody returns the request with an unread body.
func withBody(req *http.Request, body []byte) *http.Request {
	if len(body) > 0 {
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	return req
}

// statusFault returns the fault for the two classes of status that cannot be the response to a webhook call.
func statusFault(status int, l place) *fault.Fault {
	var f *fault.Fault
	switch status / 100 {
	case 1: // only 101: the transport skips the informational ones
		f = fault.New(fault.BadResponse, "host %s answered with a change of protocol: configure an HTTP endpoint", l.host)
	case 3:
		f = fault.New(fault.Redirect, "host %s answered with a redirect; redirects are never followed: configure the final "+
			"address", l.host)
	default:
		return nil
	}
	f.Status = status
	return f
}

// readBody reads at most one byte more than the limit.
func readBody(
	ctx context.Context, resp *http.Response, limit int64, v *classifier, a *schemas.Attempt,
) ([]byte, *fault.Fault) {
	if encoding := resp.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, fault.New(fault.Encoding, "host %s sent a compressed body that was not requested: let it obey "+
			"Accept-Encoding: identity", v.place.host)
	}
	tooLarge := func() *fault.Fault {
		return fault.New(fault.TooLarge, "the response body of host %s is larger than %d bytes: let it answer less",
			v.place.host, limit)
	}
	if resp.ContentLength > limit {
		return nil, tooLarge()
	}
	buf := bytes.NewBuffer(make([]byte, 0, max(resp.ContentLength, 0)+bytes.MinRead))
	n, err := buf.ReadFrom(io.LimitReader(resp.Body, limit+1))
	a.Bytes = n
	switch {
	case err != nil:
		return nil, v.inBody(ctx, err)
	case n > limit:
		return nil, tooLarge()
	}
	return buf.Bytes(), nil
}
