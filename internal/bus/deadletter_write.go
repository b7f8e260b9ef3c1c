package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/schemas"
)

// Headers of a dead letter (contract, section 2.5).
const (
	HeaderReason     = "Hookturn-Reason"
	HeaderDetail     = "Hookturn-Detail"
	HeaderSubject    = "Hookturn-Subject"
	HeaderSequence   = "Hookturn-Sequence"
	HeaderDeliveries = "Hookturn-Deliveries"
	HeaderTime       = "Hookturn-Time"

	// headerOriginal is the prefix of the name of a header that would act on the dead letter itself.
	headerOriginal = "Hookturn-Original-"
	// headerPin is added by the server to its deliveries; the engine never sends it.
	headerPin = "Nats-Pin-Id"
	// UnknownToken replaces an invalid or missing token of the subject.
	UnknownToken = "_"
	detailMax    = 1 << 10
)

// FailedEvent is an event that becomes a dead letter.
type FailedEvent struct {
	// BotID and Conversation are subject tokens; empty where the subject does not have a valid one.
	schemas.BotID

	Conversation string
	Subject      string // as the engine published it, without the partition
	Data         []byte
	Header       nats.Header
	Sequence     uint64 // in the event stream
	Deliveries   uint64
	Received     time.Time
	ID           string // of the dead letter, where Sequence does not identify the event; "" = by Sequence and Received
}

// DeadLetters stores the events that could not be handled, with the reason.
type DeadLetters struct {
	js     jetstream.JetStream
	stream jetstream.Stream
}

// NewDeadLetters returns a new DeadLetters on an account's streams.
func NewDeadLetters(js jetstream.JetStream, s Streams) *DeadLetters {
	return &DeadLetters{js: js, stream: s.deadLetters}
}

// Write stores an event as a dead letter and waits for the acknowledgement. Writing the same event twice stores it
// once. The original headers are left out when NATS does not take the dead letter with them.
func (d *DeadLetters) Write(ctx context.Context, m *FailedEvent, reason *fault.Fault) error {
	letter := deadLetter(m, reason, time.Now())
	ctx, cancel := context.WithTimeout(ctx, natsclient.APITimeout)
	defer cancel()
	_, err := d.js.PublishMsg(ctx, letter)
	if natsclient.IsTooLarge(err) {
		dropOriginals(letter.Header)
		_, err = d.js.PublishMsg(ctx, letter)
	}
	if err != nil {
		if errors.Is(err, nats.ErrMaxPayload) {
			return fmt.Errorf("dead letter for event %d exceeds max_payload of the server: raise it by %d bytes: %w",
				m.Sequence, deadLetterHeaderMax, err)
		}
		return fmt.Errorf("store dead letter for event %d: %w", m.Sequence, err)
	}
	return nil
}

// deadLetter returns the message of a dead letter: the original payload and headers, and our own headers.
func deadLetter(m *FailedEvent, reason *fault.Fault, now time.Time) *nats.Msg {
	letter := nats.NewMsg(strings.Join([]string{
		schemas.SubjectDeadLetters, orUnknown(m.Tenant), orUnknown(m.Bot), orUnknown(m.Conversation)}, "."))
	letter.Data = m.Data
	// The sequences of a stream that was created again, or restored from a backup, can come again: the time distinguishes its
	// dead letters from older ones.
	id := cmp.Or(m.ID, fmt.Sprintf("dead-%d-%d", m.Sequence, m.Received.UnixNano()))
	for name, values := range m.Header {
		if kept := keptName(name); kept != "" {
			letter.Header[kept] = append(letter.Header[kept], values...)
		}
	}
	for name, value := range map[string]string{
		HeaderReason:          string(reason.Kind),
		HeaderDetail:          cleanDetail(reason.Message),
		HeaderSubject:         cleanDetail(m.Subject),
		HeaderSequence:        strconv.FormatUint(m.Sequence, 10),
		HeaderDeliveries:      strconv.FormatUint(m.Deliveries, 10),
		HeaderTime:            now.UTC().Format(time.RFC3339Nano),
		jetstream.MsgIDHeader: id,
	} {
		letter.Header[name] = []string{value}
	}
	return letter
}

// keptName returns the name of an original header in the dead letter: unchanged, or with a prefix for headers that control
// JetStream or have the names of ours. It is empty for headers that the server has added, and for those that the client
// library receives and does not send, such as one with a space in its name.
func keptName(name string) string {
	lower := strings.ToLower(name)
	switch {
	case strings.EqualFold(lower, headerPin), !isSent(name):
		return ""
	case strings.HasPrefix(lower, strings.ToLower(headerOriginal)):
		return name
	case strings.HasPrefix(lower, "nats-"), strings.HasPrefix(lower, "hookturn-"), lower == "status":
		return headerOriginal + name
	}
	return name
}

// isSent reports whether the client library sends a header of this name: it counts the bytes of no other one.
func isSent(name string) bool { return (&nats.Msg{Header: nats.Header{name: {""}}}).Size() > 0 }

// dropOriginals removes all but our own headers.
func dropOriginals(header nats.Header) {
	for name := range header {
		switch name {
		case HeaderReason, HeaderDetail, HeaderSubject, HeaderSequence, HeaderDeliveries, HeaderTime, jetstream.MsgIDHeader:
		default:
			delete(header, name)
		}
	}
}

func orUnknown(token string) string {
	if token == "" {
		return UnknownToken
	}
	return token
}

// cleanDetail returns a text in the form of a header value: one line, valid UTF-8, at most detailMax bytes.
func cleanDetail(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	if len(text) > detailMax {
		text = strings.ToValidUTF8(text[:detailMax], "")
	}
	return strings.TrimSpace(text)
}
