package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/schemas"
)

const defaultListLimit = 100

// ErrNoDeadLetter reports that there is no dead letter with this sequence.
var ErrNoDeadLetter = errors.New("no such dead letter")

// DeadLetter is one stored dead letter. List leaves Header and Data out.
type DeadLetter struct {
	schemas.BotID // "_" where the event's subject had no valid token

	Conversation  string // token of the event's subject, or "_"
	Sequence      uint64 // in the stream of dead letters
	Reason        fault.Kind
	Detail        string
	Subject       string // of the event
	EventSequence uint64
	Deliveries    uint64
	Time          time.Time
	Expires       time.Time // latest useful moment by the headers of the event; zero = it has none there
	Header        nats.Header
	Size          int // of the payload, in bytes
	Data          []byte
}

// DeadLetterFilter chooses dead letters; empty members choose all.
type DeadLetterFilter struct {
	schemas.BotID

	Conversation string // the true id
	Reason       fault.Kind
	Since        time.Time // only events that became dead letters at this time or later
	Until        time.Time // only those before
	After        uint64    // only sequences above this one: the last one of the previous call
	Limit        int       // 100 when 0
}

// List returns the dead letters that match a filter, oldest first.
func (d *DeadLetters) List(ctx context.Context, f DeadLetterFilter) ([]DeadLetter, error) {
	limit := f.Limit
	if limit <= 0 {
		limit = defaultListLimit
	}
	var letters []DeadLetter
	from := natsclient.Query{Next: deadLetterSubject(f), Sequence: f.After + 1}
	err := natsclient.Read(ctx, d.js, schemas.StreamDeadLetters, from, func(m *jetstream.RawStreamMsg) (bool, error) {
		letter := readLetter(m.Subject, m.Sequence, m.Header, m.Data)
		letter.Header, letter.Data = nil, nil
		if f.selects(letter) {
			letters = append(letters, letter)
		}
		return len(letters) < limit, nil
	})
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	return letters, nil
}

// selects reports whether a dead letter matches what its subject does not contain.
func (f DeadLetterFilter) selects(l DeadLetter) bool {
	return (f.Reason == "" || l.Reason == f.Reason) && (f.Since.IsZero() || !l.Time.Before(f.Since)) &&
		(f.Until.IsZero() || l.Time.Before(f.Until))
}

func deadLetterSubject(f DeadLetterFilter) string {
	return schemas.SubjectDeadLetters + "." + orAny(f.Tenant) + "." + orAny(f.Bot) + "." + orAnyConversation(f.Conversation)
}

// Show returns one dead letter with its payload, which is not nil. The error is ErrNoDeadLetter when there is none with this
// sequence.
func (d *DeadLetters) Show(ctx context.Context, seq uint64) (DeadLetter, error) {
	raw, err := d.get(ctx, seq)
	if err != nil {
		return DeadLetter{}, err
	}
	letter := readLetter(raw.Subject, raw.Sequence, raw.Header, raw.Data)
	if letter.Data == nil {
		letter.Data = []byte{} // of an empty message
	}
	return letter, nil
}

// Replay publishes the event of a dead letter again, under its original subject, and then deletes the dead letter. It
// returns the event's new sequence. A replay that was interrupted can be repeated: the event is stored once, or recognised
// by its conversation.
func (d *DeadLetters) Replay(ctx context.Context, seq uint64) (uint64, error) {
	raw, err := d.get(ctx, seq)
	if err != nil {
		return 0, err
	}
	letter := readLetter(raw.Subject, raw.Sequence, raw.Header, raw.Data)
	if !isEventSubject(letter.Subject) {
		return 0, fmt.Errorf("replay dead letter %d: its subject does not have three valid tokens after %s: "+
			"publish the event again under a valid one", seq, schemas.SubjectEvents)
	}
	event := nats.NewMsg(letter.Subject)
	event.Data = raw.Data
	for name, values := range raw.Header {
		if lower := strings.ToLower(name); !strings.HasPrefix(lower, "hookturn-") && !strings.HasPrefix(lower, "nats-") {
			event.Header[name] = values
		}
	}
	event.Header.Set(schemas.HeaderReplayed, string(letter.Reason))
	event.Header.Set(jetstream.MsgIDHeader, fmt.Sprintf("replay-%d-%d", raw.Sequence, raw.Time.UnixNano()))
	stored, _, err := storeOnce(ctx, d.js, event, sameReplay(event), func(ctx context.Context) (*jetstream.PubAck, error) {
		return d.js.PublishMsg(ctx, event)
	}, nil)
	if err != nil {
		return 0, fmt.Errorf("replay dead letter %d: %w", seq, err)
	}
	if err := d.stream.DeleteMsg(ctx, seq); err != nil {
		return stored, fmt.Errorf("dead letter %d was replayed as event %d but not deleted: %w", seq, stored, err)
	}
	return stored, nil
}

func (d *DeadLetters) get(ctx context.Context, seq uint64) (*jetstream.RawStreamMsg, error) {
	raw, err := d.stream.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, fmt.Errorf("dead letter %d: %w", seq, ErrNoDeadLetter)
	}
	if err != nil {
		return nil, fmt.Errorf("read dead letter %d: %w", seq, err)
	}
	return raw, nil
}

func readLetter(subject string, seq uint64, header nats.Header, data []byte) DeadLetter {
	l := DeadLetter{
		Sequence: seq, Header: header, Data: data, Size: len(data),
		Reason: fault.Kind(header.Get(HeaderReason)), Detail: header.Get(HeaderDetail), Subject: header.Get(HeaderSubject),
	}
	key, _ := schemas.ParseSubject(schemas.SubjectDeadLetters, subject)
	l.BotID, l.Conversation = key.BotID, key.Conversation
	l.EventSequence, _ = strconv.ParseUint(header.Get(HeaderSequence), 10, 64)
	l.Deliveries, _ = strconv.ParseUint(header.Get(HeaderDeliveries), 10, 64)
	l.Time, _ = time.Parse(time.RFC3339Nano, header.Get(HeaderTime))
	original := nats.Header{}
	for name, values := range header {
		if kept, found := strings.CutPrefix(name, headerOriginal); found {
			original[kept] = values
		}
	}
	// The event was received before it became a dead letter: a TTL may have ended a moment earlier than this.
	l.Expires = Expires(original, l.Time)
	return l
}

// Replayable reports whether the event can be published again: it has a subject of events.
func (l DeadLetter) Replayable() bool { return isEventSubject(l.Subject) }

// Last returns the sequence of the latest dead letter, 0 when there was none.
func (d *DeadLetters) Last(ctx context.Context) (uint64, error) {
	info, err := d.stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the state of the dead letters: %w", err)
	}
	return info.State.LastSeq, nil
}

// isEventSubject reports whether a subject has three valid tokens after the root of events.
func isEventSubject(subject string) bool {
	key, ok := schemas.ParseSubject(schemas.SubjectEvents, subject)
	return ok && key.Valid() && schemas.IsToken(key.Conversation)
}

// FollowDeadLetters calls each for the dead letters of a conversation behind a sequence, oldest first and as they are
// stored, until ctx ends or each returns an error. The end of ctx is not an error. It needs no right but to read.
func FollowDeadLetters(
	ctx context.Context, js jetstream.JetStream, of schemas.ConversationKey, after uint64, each func(DeadLetter) error,
) error {
	r, err := natsclient.NewReader(js, schemas.StreamDeadLetters)
	if err != nil {
		return fmt.Errorf("read dead letters: %w", err)
	}
	from := natsclient.Query{Next: schemas.Subject(schemas.SubjectDeadLetters, of), Sequence: after + 1}
	return followStream(ctx, r, from, "dead letters", nil, func(m *jetstream.RawStreamMsg) error {
		return each(readLetter(m.Subject, m.Sequence, m.Header, m.Data))
	})
}
