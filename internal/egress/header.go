package egress

import (
	"net/http"
	"net/textproto"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/hookturn/hookturn/internal/fault"
)

// transportHeaders belong to the connection or to the transport. Nobody above this package may set them.
var transportHeaders = set(
	"Accept-Encoding", "Connection", "Content-Encoding", "Content-Length", "Expect", "Host", "Http2-Settings", "Keep-Alive",
	"Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	// With one of these Go's transport sends a POST again by itself.
	"Idempotency-Key", "X-Idempotency-Key",
)

// platformHeaders are written by hookturn itself: a tenant's value would forge a signature or break a trace.
var platformHeaders = set("Traceparent", "Tracestate", "X-Hub-Signature", "X-Hub-Signature-256")

var platformPrefixes = []string{"Webhook-", "Hookturn-"}

const maxHeaderValue = 8 << 10

// CheckHeader says whether a tenant may set a header on a webhook request: use it when configuration is loaded. The error is
// a *fault.Fault that names the header, never its value.
func CheckHeader(name, value string) error {
	if f := checkHeader(name, value); f != nil {
		return f
	}
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	if _, ok := platformHeaders[canonical]; ok {
		return fault.New(fault.Config, "header %s is set by hookturn itself", canonical)
	}
	for _, prefix := range platformPrefixes {
		if strings.HasPrefix(canonical, prefix) {
			return fault.New(fault.Config, "header %s: names that begin with %s are set by hookturn itself", canonical, prefix)
		}
	}
	return nil
}

// checkHeader holds for every header that is sent, the platform's own included.
func checkHeader(name, value string) *fault.Fault {
	if !httpguts.ValidHeaderFieldName(name) {
		return fault.New(fault.Config, "%q is not a header name", name)
	}
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	if _, ok := transportHeaders[canonical]; ok {
		return fault.New(fault.Config, "header %s belongs to the connection and cannot be set", canonical)
	}
	if !validValue(value) {
		return fault.New(fault.Config, "header %s: the value holds control characters or is longer than %d bytes", canonical,
			maxHeaderValue)
	}
	return nil
}

func validValue(value string) bool {
	return len(value) <= maxHeaderValue && httpguts.ValidHeaderFieldValue(value)
}

// header copies what the caller set, checked and in canonical names, and adds what every request carries.
func (c *Client) header(from http.Header) (http.Header, *fault.Fault) {
	h := make(http.Header, len(from)+2)
	for name, values := range from {
		for _, value := range values {
			if f := checkHeader(name, value); f != nil {
				return nil, f
			}
			h.Add(name, value)
		}
	}
	if h.Get("User-Agent") == "" {
		h.Set("User-Agent", c.options.UserAgent)
	}
	h.Set("Accept-Encoding", "identity")
	return h, nil
}

func set(names ...string) map[string]struct{} {
	m := make(map[string]struct{}, len(names))
	for _, name := range names {
		m[name] = struct{}{}
	}
	return m
}
