package bus

import (
	"strings"

	"github.com/nats-io/nats.go"
)

// HeaderValue returns the first value of a message's header, "" when it has none. Names are matched without regard to case:
// NATS keeps them as they were written, and libraries of HTTP write Traceparent. A name in the exact case is preferred.
func HeaderValue(header nats.Header, name string) string {
	if values := header[name]; len(values) > 0 {
		return values[0]
	}
	first := ""
	for other, values := range header { // without a sorted copy of the names: a message may have very many
		if len(values) > 0 && (first == "" || other < first) && strings.EqualFold(other, name) {
			first = other
		}
	}
	if first == "" {
		return ""
	}
	return header[first][0]
}
