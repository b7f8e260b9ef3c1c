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
	"github.com/hookturn/hookturn/internal/header"
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
	// Ignores reports whether the body of a response with a status of 2xx means nothing. Then the status alone is the answer:
	// a body that is compressed, too large, broken off or slow is not a failure. nil = no body is ignored.
	Ignores func(status int) bool
	// Pace returns the reader that sends the body, for a request that is to be sent slowly; nil: it is sent at once.
	Pace func(body []byte) io.Reader
	// TLS is what the connection needs beyond the usual; nil = nothing.
	TLS *Identity
}

// Response is an endpoint's answer of any status but 1xx and 3xx.
type Response struct {
	Status int
	Header http.Header
	// Body is never nil for a status of 2xx; it is empty where Request.Ignores the body and it could not be read. For other
	// statuses it is nil when it could not be read completely: the status is sufficient, and a large error page must not hide
	// that a 503 can be retried.
	Body []byte
}

// ignoredBodyTime is how long the body of a response that is ignored is read, so that its connection can be used again.
const ignoredBodyTime = 500 * time.Millisecond

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
		resp, err = onNewConnection(transport, withBody(req.WithContext((*at).trace(ctx)), r))
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
	good := resp.StatusCode/100 == 2
	ignored := good && r.Ignores != nil && r.Ignores(resp.StatusCode)
	if ignored {
		defer time.AfterFunc(ignoredBodyTime, cancel).Stop()
	}
	body, f := readBody(ctx, resp, c.bodyLimit(r), &v, a)
	switch {
	case f == nil:
	case ignored:
		body = []byte{}
	case good, f.Kind == fault.Cancelled, f.Kind == fault.Internal:
		f.Status = resp.StatusCode
		return nil, f
	default:
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
	headers, f := c.header(r.Header)
	if f != nil {
		return nil, f
	}
	req := &http.Request{Method: method, URL: t.url, Host: t.url.Host, Header: headers, ContentLength: int64(len(r.Body))}
	return withBody(req, r).WithContext(ctx), nil
}

// withBody returns the request with an unread body.
func withBody(req *http.Request, r Request) *http.Request {
	switch {
	case len(r.Body) > 0 && r.Pace != nil:
		req.Body = io.NopCloser(r.Pace(r.Body))
	case len(r.Body) > 0:
		req.Body = io.NopCloser(bytes.NewReader(r.Body))
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

// bodiless reports whether a response does not have a body, of any length or coding that its headers name (RFC 9110, 6.4.1).
// The transport marks such a response over HTTP/1 only.
func bodiless(resp *http.Response) bool {
	return resp.Body == http.NoBody || resp.StatusCode == http.StatusNoContent || resp.Request.Method == http.MethodHead
}

// readBody reads at most one byte more than the limit. A compressed body was not requested: of one, the first byte is too
// many.
func readBody(
	ctx context.Context, resp *http.Response, limit int64, v *classifier, a *schemas.Attempt,
) ([]byte, *fault.Fault) {
	if bodiless(resp) {
		return []byte{}, nil
	}
	tooLong := fault.New(fault.TooLarge, "the response body of host %s is larger than %d bytes: let it answer less",
		v.place.host, limit)
	if header.Compressed(resp.Header) {
		limit = 0
		tooLong = fault.New(fault.Encoding, "host %s sent a compressed body that was not requested: let it obey "+
			"Accept-Encoding: identity", v.place.host)
	}
	if resp.ContentLength > limit {
		return nil, tooLong
	}
	buf := bytes.NewBuffer(make([]byte, 0, max(resp.ContentLength, 0)+bytes.MinRead))
	n, err := buf.ReadFrom(io.LimitReader(resp.Body, limit+1))
	a.Bytes = n
	switch {
	case n > limit:
		return nil, tooLong
	case err != nil:
		return nil, v.inBody(ctx, err)
	}
	return buf.Bytes(), nil
}
