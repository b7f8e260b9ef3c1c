package bus

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Streams that allow direct reads answer them from any replica, and a replica that lags does not have the latest writes:
// a step would miss the reply that it has published, or the details that the step before it has stored. The guard
// therefore reads single messages from the leader of a stream, whatever the stream allows. (A consumer may run on a
// replica too: its reader waits for a sequence that the leader has named.)

// leader returns the message that get reads with requests that only the leader of a stream answers.
func leader(
	ctx context.Context, js jetstream.JetStream, get func(nats.JetStreamContext, ...nats.JSOpt) (*nats.RawStreamMsg, error),
) (*jetstream.RawStreamMsg, error) {
	o := js.Options()
	prefix := nats.Domain(o.Domain)
	if o.Domain == "" {
		prefix = nats.APIPrefix(o.APIPrefix)
	}
	requests, err := js.Conn().JetStream(prefix)
	if err != nil {
		return nil, err
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, apiTimeout)
		defer cancel()
	}
	m, err := get(requests, nats.Context(ctx))
	if err != nil {
		return nil, sameError(err)
	}
	return &jetstream.RawStreamMsg{Subject: m.Subject, Sequence: m.Sequence, Header: m.Header, Data: m.Data, Time: m.Time}, nil
}

// sameError returns the error of the jetstream package that means the same as one of its predecessor.
func sameError(err error) error {
	if api, ok := errors.AsType[*nats.APIError](err); ok {
		return &jetstream.APIError{
			Code: api.Code, ErrorCode: jetstream.ErrorCode(api.ErrorCode), Description: api.Description,
		}
	}
	return err
}
