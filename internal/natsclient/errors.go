package natsclient

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/fault"
)

// Errors of NATS by what a caller does about them. IsTransient: send the request again at once. IsAway: answer that it may
// succeed later. IsVanished: create the stream again. IsDenied: an operator has to permit it. IsConflict: read again, then
// decide. IsTooLarge: make the message smaller. IsStreamFull and IsNoSpace: nothing is stored until there is
// room. IsBusy: nothing is stored until fewer messages arrive.

// lostRequests are the errors of a request that has no answer: the server, JetStream or the connection is away.
func lostRequests() []error {
	return []error{
		nats.ErrTimeout, nats.ErrNoResponders, nats.ErrNoServers, nats.ErrDisconnected, nats.ErrConnectionReconnecting,
		nats.ErrStaleConnection, nats.ErrConnectionClosed, nats.ErrReconnectBufExceeded, jetstream.ErrNoStreamResponse,
		jetstream.ErrNoHeartbeat, jetstream.ErrServerShutdown,
	}
}

// isOneOf reports whether an error is one of some.
func isOneOf(err error, some ...error) bool {
	return slices.ContainsFunc(some, func(one error) bool { return errors.Is(err, one) })
}

// IsTransient reports whether NATS may answer the same request when it is sent again: the server or JetStream is away for a
// moment, or the connection is.
func IsTransient(err error) bool {
	if isOneOf(err, lostRequests()...) || errors.Is(err, jetstream.ErrConsumerLeadershipChanged) {
		return true
	}
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.Code == http.StatusServiceUnavailable
}

// IsAway reports whether an error means that NATS, or the stream behind a request, cannot be reached now: the same request
// may succeed later. A rejection, ours or the server's, is not one.
func IsAway(err error) bool {
	if _, rejected := errors.AsType[*fault.Fault](err); rejected {
		return false
	}
	if IsDenied(err) { // until an operator permits it
		return true
	}
	if isOneOf(err, lostRequests()...) || isOneOf(err,
		context.DeadlineExceeded, context.Canceled, nats.ErrConnectionDraining, nats.ErrInvalidConnection,
		jetstream.ErrConnectionClosed, jetstream.ErrBucketNotFound, jetstream.ErrStreamNotFound,
		jetstream.ErrJetStreamNotEnabled, jetstream.ErrJetStreamNotEnabledForAccount,
		jetstream.ErrAsyncPublishTimeout, jetstream.ErrTooManyStalledMsgs, // of files
	) {
		return true
	}
	if _, network := errors.AsType[net.Error](err); network {
		return true
	}
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.Code >= http.StatusInternalServerError
}

// IsVanished reports whether an error can mean that a stream is gone. No responders can also mean that JetStream is away.
func IsVanished(err error) bool {
	return isOneOf(err, jetstream.ErrStreamNotFound, jetstream.ErrBucketNotFound, nats.ErrNoResponders,
		jetstream.ErrNoStreamResponse)
}

// IsConflict reports whether another process has written a key since it was read. A replicated stream has its own error
// code.
func IsConflict(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, jetstream.ErrKeyExists) || errors.As(err, &api) &&
		(api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
			api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// JetStream's error codes for a full store, and the one with which it reports any error of its store.
const (
	errCodeInsufficientResources jetstream.ErrorCode = 10023
	errCodeMemoryExceeded        jetstream.ErrorCode = 10028
	errCodeStorageExceeded       jetstream.ErrorCode = 10047
	errCodeStoreFailed           jetstream.ErrorCode = 10077
	errCodeTooManyRequests       jetstream.ErrorCode = 10167 // more messages arrive than the stream can store
)

// IsStreamFull reports whether a stream that discards new messages does not have room for one.
func IsStreamFull(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == errCodeStoreFailed && strings.Contains(api.Description, "maximum")
}

// IsBusy reports whether a stream has too many messages waiting to be stored, of all its publishers.
func IsBusy(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == errCodeTooManyRequests
}

// IsNoSpace reports whether the store of the server or of the account is full or has failed.
func IsNoSpace(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && !IsStreamFull(err) && slices.Contains([]jetstream.ErrorCode{
		errCodeInsufficientResources, errCodeMemoryExceeded, errCodeStorageExceeded, errCodeStoreFailed,
	}, api.ErrorCode)
}

// errCodeHeaderTooLarge is JetStream's error code for a message whose headers have more than 65,535 bytes.
const errCodeHeaderTooLarge jetstream.ErrorCode = 10097

// IsTooLarge reports whether NATS did not take a message because of its size, which is not a failure of the stream: the
// message, or its headers, exceed what the server, the stream or JetStream takes.
func IsTooLarge(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, jetstream.ErrStreamMessageExceedsMaximum) ||
		errors.As(err, &api) && api.ErrorCode == errCodeHeaderTooLarge
}
