package eventreader

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
)

// BenchmarkIntake is the cost of one event from the stream through queue and handler to its acknowledgement, the
// embedded server's part included.
func BenchmarkIntake(b *testing.B) {
	_, js, streams := setup(b, bus.StreamOptions{})
	for n := range b.N {
		_, err := js.PublishAsync(fmt.Sprintf("%sacme.shop.c-%d", eventRoot, n%1000), []byte("event"),
			jetstream.WithStallWait(soon))
		require.NoError(b, err)
	}
	<-js.PublishAsyncComplete()
	var handled atomic.Int64
	done := make(chan struct{})
	b.ReportAllocs()
	b.ResetTimer()
	startReader(b, js, streams, Options{Handler: func(context.Context, *Message) Outcome {
		if handled.Add(1) == int64(b.N) {
			close(done)
		}
		return Ack()
	}})
	<-done
	b.StopTimer()
}
