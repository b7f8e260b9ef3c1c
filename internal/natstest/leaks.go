package natstest

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/hookturn/hookturn/internal/leaktest"
)

// VerifyTestMain runs a package's tests and fails when goroutines are left over.
//
// One goroutine is let be: the write of an object to a bucket (ObjectStore.Put of nats.go 1.55.0) starts a goroutine that
// reads a channel from a field, and empties the field when it returns. Where the write is faster than the goroutine's start,
// the goroutine waits for a nil channel for good. A connection that a test forgot is still found by its other goroutines.
func VerifyTestMain(m *testing.M) {
	leaktest.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/nats-io/nats.go/jetstream.(*jetStream).resetPendingAcksOnReconnect"))
}
