package patience_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/patience"
)

func TestWithin_EndsWithoutASign(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := patience.Within(t.Context(), 5*time.Second)
		defer stop()
		began := time.Now()
		for range 10 {
			<-time.After(4 * time.Second)
			patience.Renew(ctx)
		}
		require.NoError(t, ctx.Err(), "it got on all the time")
		<-ctx.Done()
		require.Equal(t, 45*time.Second, time.Since(began))
		require.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
	})
}

func TestWithin_Nested(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		outer, stop := patience.Within(t.Context(), 5*time.Second)
		defer stop()
		for range 3 {
			inner, stop := patience.Within(outer, 4*time.Second)
			<-time.After(3 * time.Second)
			patience.Renew(inner)
			stop()
		}
		require.NoError(t, outer.Err(), "work inside of work is a sign as well")
	})
}

func TestWithin_Derived(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := patience.Within(t.Context(), 5*time.Second)
		defer stop()
		derived, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		<-derived.Done()
		require.ErrorIs(t, derived.Err(), context.DeadlineExceeded, "tools tell it from an interruption")
	})
	synctest.Test(t, func(t *testing.T) {
		parent, interrupt := context.WithCancel(t.Context())
		ctx, stop := patience.Within(parent, 5*time.Second)
		defer stop()
		interrupt()
		<-ctx.Done()
		require.ErrorIs(t, ctx.Err(), context.Canceled)
	})
}

func TestRenew_NotBounded(t *testing.T) {
	t.Parallel()
	patience.Renew(t.Context())
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := patience.Within(t.Context(), time.Second)
		stop()
		patience.Renew(ctx)
		require.ErrorIs(t, ctx.Err(), context.Canceled)
	})
}
