package egress

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxRetryAfter is the longest delay that RetryAfter returns: the longest timeout that a step can have. It ends every step
// at once, as a longer one would.
const MaxRetryAfter = 30 * 24 * time.Hour

// RetryAfter returns the delay that an endpoint requests: seconds, or an HTTP date. A delay above MaxRetryAfter becomes
// MaxRetryAfter. It returns 0 without the header, and for a negative delay, a date in the past or an invalid value: the
// caller's own back-off applies.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds > int64(MaxRetryAfter/time.Second) { // the only error left is a number too large
			return MaxRetryAfter
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), MaxRetryAfter)
}
