package transient

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/patience"
)

// TestRetry_LongScan: the time of a retry is that of a server that does not answer, not that of all work.
func TestRetry_LongScan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, Retry(t.Context(), 5*time.Second, func(ctx context.Context) error {
			for range 20 {
				<-time.After(4 * time.Second)
				patience.Renew(ctx)
			}
			return ctx.Err()
		}))
		err := Retry(t.Context(), 5*time.Second, func(ctx context.Context) error {
			patience.Renew(ctx)
			<-ctx.Done()
			return ctx.Err()
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}
