package egress

import (
	"bytes"
	"io"
	"net/http"
	"time"
)

// RoundTripper returns a transport for libraries that need an http.Client, such as one that fetches tokens. It has the
// client's policy and limits and follows no redirects. The timeout is that of each request; its errors are *fault.Faults.
func (c *Client) RoundTripper(timeout time.Duration, bodyLimit int64) http.RoundTripper {
	return roundTripper{client: c, timeout: timeout, bodyLimit: bodyLimit}
}

type roundTripper struct {
	client    *Client
	timeout   time.Duration
	bodyLimit int64
}

// RoundTrip sends one request.
func (t roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		defer r.Body.Close()
		var err error
		if body, err = io.ReadAll(io.LimitReader(r.Body, t.client.options.RequestLimit+1)); err != nil {
			return nil, err
		}
	}
	answer, _, err := t.client.Do(r.Context(), Request{
		Method: r.Method, URL: r.URL.String(), Header: r.Header, Body: body, Timeout: t.timeout, BodyLimit: t.bodyLimit,
	})
	if err != nil {
		return nil, err
	}
	return &http.Response{
		Status: http.StatusText(answer.Status), StatusCode: answer.Status, Header: answer.Header, Request: r,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(bytes.NewReader(answer.Body)), ContentLength: int64(len(answer.Body)),
	}, nil
}
