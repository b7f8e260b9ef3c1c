package natsclient_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/natsclient"
)

func TestIsAway(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		context.DeadlineExceeded, nats.ErrNoResponders, jetstream.ErrNoStreamResponse, jetstream.ErrAsyncPublishTimeout,
		jetstream.ErrTooManyStalledMsgs, &net.OpError{Op: "read", Err: errors.New("reset")},
		&jetstream.APIError{Code: 503, ErrorCode: 10008, Description: "system temporarily unavailable"},
	} {
		require.True(t, natsclient.IsAway(fmt.Errorf("store a channel: %w", err)), err.Error())
	}
	for _, err := range []error{
		fault.New(fault.BadEvent, "invalid key"), fault.Wrap(fault.TooLarge, nats.ErrTimeout, "too large"), jetstream.ErrInvalidKey,
		&jetstream.APIError{Code: 400, Description: "wrong last sequence"}, errors.New("a stored channel cannot be read"),
	} {
		require.False(t, natsclient.IsAway(fmt.Errorf("store a channel: %w", err)), err.Error())
	}
}
