// Package retry has the waits between the tries of an operation that is repeated until it succeeds.
package retry

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Backoff returns a wait that grows from try to try up to longest, with jitter, and never gives up by itself.
func Backoff(initial, longest time.Duration) *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(backoff.WithInitialInterval(initial), backoff.WithMaxInterval(longest),
		backoff.WithMaxElapsedTime(0))
}
