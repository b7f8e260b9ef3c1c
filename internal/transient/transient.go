// Package transient decides which failed requests to NATS and Temporal are sent again, and sends them again.
package transient

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"google.golang.org/grpc/codes"

	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/patience"
	"github.com/hookturn/hookturn/internal/retry"
)

// Is reports whether NATS or Temporal may answer the same request when it is sent again: the server is busy,
// restarts, or answered too late. A limit of the number of deployments or versions is not transient, although it has the
// same code.
func Is(err error) bool {
	if natsclient.IsTransient(err) {
		return true
	}
	if exhausted, ok := errors.AsType[*serviceerror.ResourceExhausted](err); ok {
		return exhausted.Cause != enumspb.RESOURCE_EXHAUSTED_CAUSE_WORKER_DEPLOYMENT_LIMITS
	}
	switch serviceerror.ToStatus(err).Code() {
	case codes.DeadlineExceeded, codes.Unavailable, codes.ResourceExhausted, codes.Canceled, codes.Aborted:
		return true
	default:
		return false
	}
}

// Retry sends a request until it succeeds, fails for good, or shows no progress (patience.Renew) for a time, and returns its
// last error.
func Retry(ctx context.Context, within time.Duration, request func(context.Context) error) error {
	ctx, stop := patience.Within(ctx, within)
	defer stop()
	var last error
	err := backoff.Retry(func() error {
		if failed := request(ctx); failed == nil || last == nil || ctx.Err() == nil {
			last = failed // the error of the request that the end of the time cut short names no reason
		}
		if last == nil || Is(last) {
			return last
		}
		return backoff.Permanent(last)
	}, backoff.WithContext(retry.Backoff(100*time.Millisecond, 2*time.Second), ctx))
	if err != nil && last != nil {
		return last
	}
	return err
}
