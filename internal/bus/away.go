package bus

import (
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/fault"
)

// IsAway reports whether an error means that NATS, or the stream behind a request, cannot be reached now: the same request
// may succeed later. A rejection, ours or the server's, is not one.
func IsAway(err error) bool {
	if _, rejected := errors.AsType[*fault.Fault](err); rejected {
		return false
	}
	if IsDenied(err) { // until an operator permits it
		return true
	}
	for _, away := range []error{
		context.DeadlineExceeded, context.Canceled, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrConnectionClosed,
		nats.ErrConnectionDraining, nats.ErrConnectionReconnecting, nats.ErrDisconnected, nats.ErrNoServers,
		nats.ErrReconnectBufExceeded, nats.ErrInvalidConnection, nats.ErrStaleConnection, jetstream.ErrNoStreamResponse,
		jetstream.ErrNoHeartbeat, jetstream.ErrConnectionClosed, jetstream.ErrServerShutdown, jetstream.ErrBucketNotFound,
		jetstream.ErrStreamNotFound, jetstream.ErrJetStreamNotEnabled, jetstream.ErrJetStreamNotEnabledForAccount,
		jetstream.ErrAsyncPublishTimeout, jetstream.ErrTooManyStalledMsgs, // of files
	} {
		if errors.Is(err, away) {
			return true
		}
	}
	if _, network := errors.AsType[net.Error](err); network {
		return true
	}
	answered, ok := errors.AsType[*jetstream.APIError](err)
	return ok && answered.Code >= http.StatusInternalServerError
}

// IsConflict reports whether another process has written a key since it was read. A replicated stream has its own error
// code.
func IsConflict(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, jetstream.ErrKeyExists) || errors.As(err, &api) &&
		(api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
			api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}
