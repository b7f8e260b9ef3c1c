package eventreader

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

const (
	// HeadersMax is how many headers an event may have. A header takes about 100 bytes in memory beside its text: 15 times the
	// bytes of a message of 1 MiB that has 150,000 of them.
	HeadersMax = 1000
	// HeaderBytesMax is how many bytes the headers of an event may have, with names. JetStream takes 65,535, and the headers of
	// a dead letter are those of its event, each with up to 18 bytes more, and hookturn's own.
	HeaderBytesMax = 32 << 10
)

// What a header takes in memory beside its text, in bytes: a name in its map, and each of its values.
const (
	nameBytes  = 128
	valueBytes = 32
)

// Message is one event as it was stored. A handler must not change Data or Header.
type Message struct {
	// BotID and Conversation are subject tokens; empty where the subject does not have a valid one.
	schemas.BotID

	Conversation string
	Subject      string // as the engine published it, without the partition
	Data         []byte
	// Header does not have the headers of an event with more than HeadersMax or HeaderBytesMax allow, which is not valid; of
	// one in binary mode it has those that the answer needs.
	Header      nats.Header
	Headers     int    // how many the event has; a name with two values counts twice
	HeaderBytes int    // of the names and values of its headers
	Sequence    uint64 // in the event stream; it may come again, see StoredID
	Deliveries  uint64 // how often JetStream has delivered it, at least 1
	TakenOver   bool   // an earlier reader, or this one, may have handled it and not acknowledged it
	Tried       bool   // this reader has called a handler for it before, and its outcome was a retry or was not stored
	Received    time.Time
	// Expires is the event's latest useful moment by its Nats-TTL header; the zero time when it has none.
	Expires time.Time
	// EventID and TraceID are those of the event, once the handler has read them: log lines name them.
	EventID, TraceID string

	valid  bool   // the subject has three valid tokens
	stored string // subject with the partition
	tenant string // first token, valid or not
	wire   int64  // bytes of subject, header and data
}

// newMessage returns the message of an event that is stored under a subject; received is the time of storing.
func newMessage(s bus.Streams, stored string, data []byte, header nats.Header, received time.Time) *Message {
	m := &Message{
		stored: stored, Subject: s.EventSubject(stored), Data: data, Header: header, Received: received, Deliveries: 1,
	}
	m.BotID, m.Conversation, m.valid = tokensOf(m.Subject)
	m.tenant, _, _ = strings.Cut(strings.TrimPrefix(m.Subject, schemas.SubjectEvents+"."), ".")
	m.Expires = bus.Expires(header, received)
	for name, values := range header {
		m.Headers += len(values)
		for _, value := range values {
			m.HeaderBytes += len(name) + len(value)
		}
	}
	m.wire = int64(len(data) + len(stored) + m.HeaderBytes)
	if m.CheckHeaders() != nil {
		m.Header = nil
		if schemas.IsBinary(header) {
			m.Header = identityOf(header)
		}
	}
	return m
}

// CheckHeaders returns an error when the event has more headers than it may have.
func (m *Message) CheckHeaders() error {
	switch {
	case m.Headers > HeadersMax:
		return fmt.Errorf("the message has %d headers, at most %d are allowed", m.Headers, HeadersMax)
	case m.HeaderBytes > HeaderBytesMax:
		return fmt.Errorf("the headers of the message have %d bytes, at most %d are allowed", m.HeaderBytes, HeaderBytesMax)
	}
	return nil
}

// identity are the headers of an event in binary mode by which it is answered.
var identity = []string{
	"ce-id", "ce-type", "ce-subject", "ce-time", "ce-traceparent", "ce-tracestate", "ce-" + schemas.AttributeRepeatOf,
}

// identityMax is more than any value of identity has that is valid, in bytes; percent-encoding triples them.
const identityMax = 4 << 10

// identityOf returns the headers of identity, in lower case, and one that shows the binary mode. It leaves out those that
// come more than once or are too long, which no event may have.
func identityOf(header nats.Header) nats.Header {
	kept, seen := nats.Header{"ce-specversion": {"1.0"}}, map[string]int{}
	for name, values := range header {
		lower := strings.ToLower(name)
		if !slices.Contains(identity, lower) {
			continue
		}
		if seen[lower] += len(values); len(values) == 1 && len(values[0]) <= identityMax {
			kept[lower] = values
		}
	}
	for name, times := range seen {
		if times > 1 {
			delete(kept, name)
		}
	}
	return kept
}

// HeaderValue returns the first value of a header, "" when the message has none; names are matched without regard to case.
func (m *Message) HeaderValue(name string) string { return bus.HeaderValue(m.Header, name) }

// Trace returns the values of the headers traceparent and tracestate, "" where they are not valid.
func (m *Message) Trace() (traceParent, traceState string) {
	return schemas.ValidTrace(m.HeaderValue(bus.HeaderTraceParent), m.HeaderValue(bus.HeaderTraceState))
}

// ids are the attributes of log lines about the event.
func (m *Message) ids() []any {
	ids := []any{"sequence", m.Sequence, "subject", m.Subject}
	if m.EventID != "" {
		ids = append(ids, "event", m.EventID)
	}
	trace := m.TraceID
	if trace == "" {
		trace = schemas.TraceIDOf(m.HeaderValue(bus.HeaderTraceParent), schemas.ConversationKey{}, "")
	}
	if trace != "" {
		ids = append(ids, "trace_id", trace)
	}
	return ids
}

// size is about the memory that the event takes, in bytes.
func (m *Message) size() int64 {
	size := len(m.Data) + len(m.stored)
	for name, values := range m.Header {
		size += len(name) + nameBytes
		for _, value := range values {
			size += len(value) + valueBytes
		}
	}
	return int64(size)
}

// failedEvent returns the event as it becomes a dead letter: without headers when it has too many.
func (m *Message) failedEvent() *bus.FailedEvent {
	header := m.Header
	if m.CheckHeaders() != nil {
		header = nil
	}
	return &bus.FailedEvent{
		BotID: m.BotID, Conversation: m.Conversation, Subject: m.Subject, Data: m.Data, Header: header,
		Sequence: m.Sequence, Deliveries: m.Deliveries, Received: m.Received,
	}
}

// tokensOf splits an event's subject; tokens that are not valid are empty.
func tokensOf(subject string) (owner schemas.BotID, conversation string, valid bool) {
	tokens := strings.Split(strings.TrimPrefix(subject, schemas.SubjectEvents+"."), ".")
	valid = len(tokens) == 3
	at := func(i int) string {
		if i < len(tokens) && schemas.IsToken(tokens[i]) {
			return tokens[i]
		}
		valid = false
		return ""
	}
	owner, conversation = schemas.BotID{Tenant: at(0), Bot: at(1)}, at(2)
	return owner, conversation, valid
}
