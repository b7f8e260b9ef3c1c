package natsclient

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// What the tests outside of the package use; they need internal/bus, which imports this package.
const (
	Soon = soon
	Poll = poll
)

var TestContext = testContext

// LockedBuffer is a log that is written while it is read.
type LockedBuffer = lockedBuffer

// AgeDenials makes what the server has denied too old to count.
func AgeDenials(js jetstream.JetStream) { rightsOf(js).at = time.Now().Add(-2 * deniedLasts) }
