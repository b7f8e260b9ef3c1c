package bot

import (
	"errors"
	"net/textproto"
	"strings"
)

// headerValueMax is the longest header value, in bytes: half of what many servers take for all headers.
const headerValueMax = 4 << 10

// checkHeader says why a header of a bot file cannot be sent; nil when it can. The canonical name is its second result.
func checkHeader(name, value string) (string, error) {
	if !isHeaderName(name) {
		return "", errors.New("is not a valid header name")
	}
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	if why := reserved(canonical); why != "" {
		return canonical, errors.New(why)
	}
	return canonical, checkHeaderValue(value)
}

// reserved says why a bot file may not set a header: it belongs to one connection, is set by hookturn, or would change
// what the signature and the retries mean.
func reserved(canonical string) string {
	switch canonical {
	case "Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect":
		return "is reserved: it belongs to the connection"
	case "Host", "Content-Length", "Content-Type", "Content-Encoding", "Accept-Encoding", "User-Agent",
		"Traceparent", "Tracestate", "Baggage", "Idempotency-Key", "X-Idempotency-Key",
		"X-Hub-Signature", "X-Hub-Signature-256":
		return "is reserved: hookturn sets it"
	case "Authorization":
		return "is reserved: use authorization, which keeps its value out of the file"
	}
	for _, prefix := range []string{"Webhook-", "Hookturn-", "X-B3-"} {
		if strings.HasPrefix(canonical, prefix) {
			return "is reserved: hookturn sets the headers that begin with " + prefix
		}
	}
	if strings.HasPrefix(canonical, "Proxy-") {
		return "is reserved: it belongs to the connection"
	}
	return ""
}

func isHeaderName(name string) bool {
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return name != "" && len(name) <= 128
}

// checkHeaderValue never repeats the value: it may be a secret.
func checkHeaderValue(value string) error {
	if len(value) > headerValueMax {
		return errors.New("is too long for a header value")
	}
	for _, c := range []byte(value) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return errors.New("holds a line break or another control character")
		}
	}
	if strings.Trim(value, " \t") != value {
		return errors.New("begins or ends with a space, which a header cannot carry")
	}
	return nil
}
