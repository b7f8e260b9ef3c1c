package egress

import (
	"bytes"
	"io"
	"net/http"
	"time"
)

// RoundTripper lets a library that wants an http.Client, such as one that fetches tokens, go through the same door: same
// guard, same limits, no redirects. Each request may take the given time; its errors are *fault.Faults.
func (c *Client) RoundTripper(timeout time.Duration, bodyLimit int64) http.RoundTripper {
	return roundTripper{client: c, timeout: timeout, bodyLimit: bodyLimit}
}

type roundTripper struct {
	client    *Client
	timeout   time.Duration
	bodyLimit int64
}

// RoundTrip makes one request.
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
