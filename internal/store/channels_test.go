package store

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
)

func TestChannels_AreFollowed(t *testing.T) {
	t.Parallel()
	_, s := setup(t, bus.StreamOptions{})
	c, ctx := NewChannels(s), testContext(t)
	first, err := c.Put(ctx, "one", []byte("a"), 0)
	require.NoError(t, err)
	_, err = c.Put(ctx, "one", []byte("b"), 0)
	require.ErrorIs(t, err, ErrChanged)
	heard, ready := make(chan string, 10), make(chan struct{})
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	t.Cleanup(func() { stop(); require.NoError(t, <-ended) })
	go func() {
		ended <- c.Follow(ctx, func() { heard <- "begin" }, func(id string, text []byte, _ uint64) { heard <- id + "=" + string(text) },
			func() { close(ready) })
	}()
	<-ready
	require.Equal(t, "begin", <-heard)
	require.Equal(t, "one=a", <-heard)
	second, err := c.Put(ctx, "one", []byte("b"), first)
	require.NoError(t, err)
	require.Equal(t, "one=b", <-heard)
	require.ErrorIs(t, c.Delete(ctx, "one", first), ErrChanged)
	require.NoError(t, c.Delete(ctx, "one", second))
	require.Equal(t, "one=", <-heard)
}
