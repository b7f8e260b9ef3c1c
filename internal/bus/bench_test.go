package bus

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// BenchmarkIntake is the cost of one event from the stream through lane and handler to its acknowledgement, the
// embedded server's part included.
func BenchmarkIntake(b *testing.B) {
	_, js, streams := setup(b, StreamOptions{})
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
	startConsumer(b, js, streams, ConsumerOptions{Handler: func(context.Context, *Message) error {
		if handled.Add(1) == int64(b.N) {
			close(done)
		}
		return nil
	}})
	<-done
	b.StopTimer()
}
