package app

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hookturn/hookturn/internal/adminapi"
)

// fatal keeps the first error after which a process cannot continue. From then on the process is neither alive nor
// ready, so that a supervisor restarts it if it does not end by itself.
type fatal struct {
	readiness adminapi.Readiness
	first     chan error
}

func newFatal() fatal { return fatal{first: make(chan error, 1)} }

// fail records an error after which the process cannot continue; later errors are ignored.
func (f *fatal) fail(err error) {
	f.readiness.End(err)
	select {
	case f.first <- err:
	default:
	}
}

// natsWatch reports a connection to NATS that ended although the process did not close it.
type natsWatch struct {
	fail    func(error)
	closing atomic.Bool
}

func (w *natsWatch) closed(reason error) {
	if !w.closing.Load() {
		w.fail(fmt.Errorf("nats connection closed permanently: %w: "+
			"restart the process", reason))
	}
}

// close sends what is buffered, then closes the connection.
func (w *natsWatch) close(nc *nats.Conn) func(context.Context) error {
	return func(ctx context.Context) error {
		w.closing.Store(true)
		defer nc.Close()
		if !nc.IsConnected() {
			return nil
		}
		flush, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		return nc.FlushWithContext(flush)
	}
}
