package pubsub

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// TestPubSub_CallCodeWorker: a request that no worker receives is a fault; one that a worker may have received is another
// error.
func TestPubSub_CallCodeWorker(t *testing.T) {
	t.Parallel()
	js := setup(t)
	p, ctx := New(js), testContext(t)
	shop := schemas.BotID{Tenant: "acme", Bot: "shop"}
	fails := func(name string, request []byte, want fault.Kind) {
		t.Helper()
		_, err := p.CallCodeWorker(ctx, shop, name, request)
		var f *fault.Fault
		require.ErrorAs(t, err, &f)
		require.Equal(t, want, f.Kind)
	}
	fails("", []byte("x"), fault.SandboxUnavailable)
	stopAny, err := p.ServeAttempts(2, func([]byte, int) []byte { return []byte("any") }, nil)
	require.NoError(t, err)
	stopNamed, err := p.ServeAttemptsTo("w-1", func(request []byte, limit int) []byte {
		require.Positive(t, limit)
		return append(request, '!')
	})
	require.NoError(t, err)
	for name, want := range map[string]string{"": "any", "w-1": "x!"} {
		answer, err := p.CallCodeWorker(ctx, shop, name, []byte("x"))
		require.NoError(t, err)
		require.Equal(t, want, string(answer))
	}
	fails("w-2", []byte("x"), fault.SandboxUnavailable)
	fails("", make([]byte, 3<<20), fault.TooLarge)
	stopAny(ctx)
	fails("", []byte("x"), fault.SandboxUnavailable)
	stopNamed(ctx)
	fails("w-1", []byte("x"), fault.SandboxUnavailable)

	held := make(chan struct{})
	stop, err := p.ServeAttempts(1, func([]byte, int) []byte { <-held; return nil }, nil)
	require.NoError(t, err)
	soon, cancel := context.WithCancel(ctx)
	go cancel()
	_, err = p.CallCodeWorker(soon, shop, "", []byte("x"))
	var f *fault.Fault
	require.NotErrorAs(t, err, &f, "the worker may have received the request")
	require.Error(t, err)
	close(held)
	stop(ctx)

	js.Conn().Close()
	fails("", []byte("x"), fault.Connect)
}
