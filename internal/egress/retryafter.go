package egress

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxRetryAfter is the longest delay that an endpoint can ask for.
const MaxRetryAfter = time.Hour

// RetryAfter reads how long an endpoint asks us to stay away: seconds, or an HTTP date. A delay above MaxRetryAfter is cut
// to it: who asks for a week certainly means later than now. Without the header, with a negative delay, a moment that has
// passed, or anything that cannot be read, it is 0: the caller's own back-off applies.
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
