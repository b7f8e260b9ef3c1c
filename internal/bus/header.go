package bus

import (
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
)

// HeaderValue returns the first value of a message's header, "" when it has none. Names are matched without regard to case:
// NATS keeps them as they were written, and libraries of HTTP write Traceparent. A name in the exact case is preferred.
func HeaderValue(header nats.Header, name string) string {
	if values := header[name]; len(values) > 0 {
		return values[0]
	}
	for _, other := range slices.Sorted(maps.Keys(header)) {
		if values := header[other]; len(values) > 0 && strings.EqualFold(other, name) {
			return values[0]
		}
	}
	return ""
}
