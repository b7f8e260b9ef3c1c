package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

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

// nextMessage asks the leader of a stream for the first message of a subject from a moment or a sequence on. The library
// cannot ask for a moment; a consumer can, but the server writes it to its disk, which takes seconds when a worker that
// takes over hundreds of conversations looks for a reply in each.
type nextMessage struct {
	Subject  string     `json:"next_by_subj"`
	Sequence uint64     `json:"seq,omitempty"`
	Since    *time.Time `json:"start_time,omitempty"`
}

// get returns the message, or jetstream.ErrMsgNotFound.
func (n nextMessage) get(ctx context.Context, js jetstream.JetStream, stream string) (_ *jetstream.RawStreamMsg, err error) {
	if err := checkFilter(n.Subject); err != nil {
		return nil, err
	}
	request, err := json.Marshal(n)
	if err != nil {
		return nil, err
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, apiTimeout)
		defer cancel()
	}
	ctx, end := rightsOf(js).begin(ctx, "STREAM.MSG.GET."+stream)
	defer end(&err)
	answer, err := js.Conn().RequestWithContext(ctx, apiPrefix(js)+"STREAM.MSG.GET."+stream, request)
	if err != nil {
		return nil, err
	}
	var stored struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Subject  string    `json:"subject"`
			Sequence uint64    `json:"seq"`
			Header   []byte    `json:"hdrs"`
			Data     []byte    `json:"data"`
			Time     time.Time `json:"time"`
		} `json:"message"`
	}
	switch err := json.Unmarshal(answer.Data, &stored); {
	case err != nil:
		return nil, fmt.Errorf("read a message of stream %s: %w", stream, err)
	case stored.Error != nil:
		return nil, stored.Error
	case stored.Message == nil:
		return nil, jetstream.ErrMsgNotFound
	}
	m := &jetstream.RawStreamMsg{
		Subject: stored.Message.Subject, Sequence: stored.Message.Sequence, Data: stored.Message.Data, Time: stored.Message.Time,
	}
	if len(stored.Message.Header) > 0 {
		if m.Header, err = nats.DecodeHeadersMsg(stored.Message.Header); err != nil {
			return nil, fmt.Errorf("read the header of a message of stream %s: %w", stream, err)
		}
	}
	return m, nil
}

// apiPrefix returns the prefix of JetStream's API subjects.
func apiPrefix(js jetstream.JetStream) string {
	switch o := js.Options(); {
	case o.Domain != "":
		return "$JS." + o.Domain + ".API."
	case o.APIPrefix != "":
		return strings.TrimSuffix(o.APIPrefix, ".") + "."
	}
	return jetstream.DefaultAPIPrefix
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
