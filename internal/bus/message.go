package bus

import (
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/schemas"
)

// Message is one event as it was stored. A handler must not change Data or Header.
type Message struct {
	Tenant, Bot, Conversation string // subject tokens; empty where the subject has no valid one
	Subject                   string // as the engine published it, without the partition
	Data                      []byte
	Header                    nats.Header
	Sequence                  uint64 // in the event stream
	Deliveries                uint64 // how often JetStream has handed it out, at least 1
	Received                  time.Time
	// Expires is the event's latest useful moment by its Nats-TTL header; the zero time when it has none.
	Expires time.Time

	valid bool // the subject has three valid tokens
}

// headerExpires carries the latest useful moment of an event that our own publisher stored. It is not Nats-TTL, because
// the server removes an event at the end of its Nats-TTL without a trace.
const headerExpires = "Hookturn-Expires"

// newMessage makes a message of what JetStream stored; received is the time at which it did.
func newMessage(partitioned bool, subject string, data []byte, header nats.Header, received time.Time) *Message {
	m := &Message{Subject: subject, Data: data, Header: header, Received: received, Deliveries: 1}
	if partitioned {
		m.Subject = withoutPartition(subject)
	}
	m.Tenant, m.Bot, m.Conversation, m.valid = tokensOf(m.Subject)
	m.Expires = expiry(header, received)
	return m
}

// withoutPartition cuts the token that the stream's transform has put behind the root.
func withoutPartition(subject string) string {
	rest := subject[len(schemas.SubjectEvents)+1:]
	_, tokens, _ := strings.Cut(rest, ".")
	return schemas.SubjectEvents + "." + tokens
}

// hasTokens says whether an event's subject has three valid tokens.
func hasTokens(subject string) bool {
	_, _, conversation, valid := tokensOf(subject)
	return valid && conversation != ""
}

// tokensOf splits an event's subject; tokens that are not valid are empty.
func tokensOf(subject string) (tenant, bot, conversation string, valid bool) {
	tokens := strings.Split(strings.TrimPrefix(subject, schemas.SubjectEvents+"."), ".")
	valid = len(tokens) == 3
	at := func(i int) string {
		if i < len(tokens) && schemas.IsToken(tokens[i]) {
			return tokens[i]
		}
		valid = false
		return ""
	}
	tenant, bot, conversation = at(0), at(1), at(2)
	return tenant, bot, conversation, valid
}

func expiry(header nats.Header, received time.Time) time.Time {
	if len(header) == 0 {
		return time.Time{}
	}
	if at, err := time.Parse(time.RFC3339Nano, header.Get(headerExpires)); err == nil {
		return at
	}
	if ttl := parseTTL(header.Get(jetstream.MsgTTLHeader)); ttl > 0 {
		return received.Add(ttl)
	}
	return time.Time{}
}

// parseTTL reads a Nats-TTL as the server does: a duration or whole seconds; 0 for "never" and for what it cannot read.
func parseTTL(text string) time.Duration {
	if text == "" {
		return 0
	}
	if d, err := time.ParseDuration(text); err == nil {
		return max(d, 0)
	}
	if d, err := time.ParseDuration(text + "s"); err == nil {
		return max(d, 0)
	}
	return 0
}
