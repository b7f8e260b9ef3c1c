package natsclient

import (
	"context"
	"encoding/json"
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

// Leader reads single messages of a stream by requests that only its leader answers.
type Leader struct {
	nc     *nats.Conn
	api    string // prefix of the JetStream API
	rights *rights
	stream string
}

// LeaderOf returns the Leader of a stream.
func LeaderOf(js jetstream.JetStream, stream string) Leader {
	return Leader{js.Conn(), apiPrefix(js), rightsOf(js), stream}
}

// Stream returns the name of the stream.
func (l Leader) Stream() string { return l.stream }

// Query chooses a message: that of a sequence, the last one of a subject, or the first one of a subject from a moment or a
// sequence on. The library cannot ask for a moment; a consumer can, but the server writes it to its disk, which takes
// seconds when a worker that takes over hundreds of conversations looks for a reply in each.
type Query struct {
	Last     string     `json:"last_by_subj,omitempty"`
	Next     string     `json:"next_by_subj,omitempty"`
	Sequence uint64     `json:"seq,omitempty"`
	Since    *time.Time `json:"start_time,omitempty"`
}

// Get returns the message, or jetstream.ErrMsgNotFound. A message whose headers cannot be read does not have any.
func (l Leader) Get(ctx context.Context, q Query) (*jetstream.RawStreamMsg, error) {
	invalid := firstError(checkOptional(checkFilter, q.Last), checkOptional(checkFilter, q.Next))
	return once(ctx, guard{rights: l.rights}, invalid, l.subjects,
		func(ctx context.Context) (*jetstream.RawStreamMsg, error) { return l.request(ctx, q) })
}

// next is Get for the first message from a sequence on whose subject matches a filter. The filter is not checked: it travels
// in the body of the request, and may be a stored subject with any characters.
func (l Leader) next(ctx context.Context, from uint64, filter string) (*jetstream.RawStreamMsg, error) {
	return once(ctx, guard{rights: l.rights}, nil, l.subjects,
		func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
			return l.request(ctx, Query{Next: filter, Sequence: from})
		})
}

func (l Leader) subjects() []string { return []string{"STREAM.MSG.GET." + l.stream} }

func (l Leader) request(ctx context.Context, q Query) (*jetstream.RawStreamMsg, error) {
	request, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	answer, err := l.nc.RequestWithContext(ctx, l.api+"STREAM.MSG.GET."+l.stream, request)
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
		return nil, fmt.Errorf("read a message of stream %s: %w", l.stream, err)
	case stored.Error != nil:
		return nil, stored.Error
	case stored.Message == nil:
		return nil, jetstream.ErrMsgNotFound
	}
	m := &jetstream.RawStreamMsg{
		Subject: stored.Message.Subject, Sequence: stored.Message.Sequence, Data: stored.Message.Data, Time: stored.Message.Time,
	}
	m.Header = decodeHeader(stored.Message.Header)
	return m, nil
}

// decodeHeader returns the headers of a stored message, nil when their bytes cannot be read. The server stores what a
// publisher sends. The library passes such a message on without headers when it is delivered, so that both ways of reading
// have the same message; as an error it would stop each reader that has to pass the message.
func decodeHeader(stored []byte) nats.Header {
	header, err := nats.DecodeHeadersMsg(stored)
	if err != nil {
		return nil
	}
	return header
}

// SubjectPage is the state of a stream, with a page of its subjects and how many messages each has.
type SubjectPage struct {
	Error *jetstream.APIError `json:"error"`
	Total int                 `json:"total"` // subjects
	jetstream.StreamInfo
}

// Info returns the state of the stream, and with a filter the messages of a page of subjects. The library would read all
// pages.
func (l Leader) Info(ctx context.Context, filter string, offset int) (*SubjectPage, error) {
	request, err := json.Marshal(map[string]any{"subjects_filter": filter, "offset": offset})
	if err != nil {
		return nil, err
	}
	invalid := checkOptional(checkFilter, filter)
	subject := "STREAM.INFO." + l.stream
	return once(ctx, guard{rights: l.rights}, invalid, to(subject), func(ctx context.Context) (*SubjectPage, error) {
		answer, err := l.nc.RequestWithContext(ctx, l.api+subject, request)
		if err != nil {
			return nil, err
		}
		var page SubjectPage
		if err := json.Unmarshal(answer.Data, &page); err != nil {
			return nil, err
		}
		if page.Error != nil {
			return nil, page.Error
		}
		return &page, nil
	})
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
