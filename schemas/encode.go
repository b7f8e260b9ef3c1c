package schemas

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// NewReply returns the reply of one type to one event. The same arguments make the same bytes, so a workflow may call it;
// at is the workflow's time. eventID is the id of the event that asked, or, where no event did, an id that is stable
// for what is reported. traceparent and tracestate are the caller's to set.
func NewReply(key ConversationKey, eventID, replyType string, at time.Time, data any) (Reply, error) {
	if !slices.Contains(ReplyTypes(), replyType) {
		return Reply{}, fmt.Errorf("make a reply: %q is not a valid reply type", replyType)
	}
	raw, err := Marshal(data)
	if err != nil {
		return Reply{}, fmt.Errorf("make the data of %s: %w", replyType, err)
	}
	if len(raw) == 0 || raw[0] != '{' {
		return Reply{}, fmt.Errorf("make a reply: the data of %s is not a JSON object", replyType)
	}
	return Reply{
		SpecVersion:     "1.0",
		ID:              ReplyID(key, eventID, replyType),
		Source:          key.Source(),
		Type:            replyType,
		Time:            at.UTC(),
		Subject:         key.Conversation,
		DataContentType: mediaJSON,
		Data:            raw,
	}, nil
}

// Encode writes the reply as it travels on NATS. A reply that is larger than a message may be is an error, for the
// server would refuse it for ever.
func (r Reply) Encode() ([]byte, error) { return encode(r.Type, r) }

// Encode writes the event as it travels on NATS, the inverse of DecodeEvent for all that hookturn reads.
func (e Event) Encode() ([]byte, error) { return encode(e.Type, e) }

func encode(what string, v any) ([]byte, error) {
	raw, err := Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", what, err)
	}
	if len(raw) > MessageMax {
		return nil, fmt.Errorf("encode %s: it is %d bytes long, at most %d are allowed", what, len(raw), MessageMax)
	}
	return raw, nil
}

// MarshalJSON keeps what the contract promises of every reply: messages and attempts are arrays, conversation is a
// state.
func (r StepReplied) MarshalJSON() ([]byte, error) {
	type plain StepReplied
	r.Messages, r.Attempts = orEmpty(r.Messages), orEmpty(r.Attempts)
	if r.Conversation == "" {
		r.Conversation = ConversationOpen
	}
	return Marshal(plain(r))
}

// MarshalJSON writes missing as an array even when it is nil.
func (w StepWaiting) MarshalJSON() ([]byte, error) {
	type plain StepWaiting
	w.Missing = orEmpty(w.Missing)
	return Marshal(plain(w))
}

// MarshalJSON writes messages as an array even when it is nil.
func (p StepProgress) MarshalJSON() ([]byte, error) {
	type plain StepProgress
	p.Messages = orEmpty(p.Messages)
	return Marshal(plain(p))
}

// MarshalJSON writes messages as an array even when it is nil.
func (m MessageSent) MarshalJSON() ([]byte, error) {
	type plain MessageSent
	m.Messages = orEmpty(m.Messages)
	return Marshal(plain(m))
}

// MarshalJSON writes the member that the message's type has, even when it is empty, and no other. A type that is not
// in the contract is written as it is: judging what an endpoint sent is the dialect's part.
func (m Message) MarshalJSON() ([]byte, error) {
	switch m.Type {
	case MessageText:
		return Marshal(struct {
			Type string `json:"type"`
			Text string `json:"text"`
		}{m.Type, m.Text})
	case MessageHSL:
		return Marshal(struct {
			Type string          `json:"type"`
			HSL  json.RawMessage `json:"hsl"`
		}{m.Type, m.HSL})
	case MessageCustom:
		return Marshal(struct {
			Type    string          `json:"type"`
			Payload json.RawMessage `json:"payload"`
		}{m.Type, m.Payload})
	}
	type plain Message
	return Marshal(plain(m))
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// Marshal is json.Marshal without the escapes for HTML, which would only make texts longer and harder to read. Maps
// come out in the order of their keys, so equal values have equal bytes.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}
