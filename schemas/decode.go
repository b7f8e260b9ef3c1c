package schemas

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hookturn/hookturn/internal/dialect/strictjson"
)

// Bounds on attributes and members, in characters; json/event.json has the same.
const (
	idMax      = 256
	sourceMax  = 1024
	subjectMax = 1024

	integerMax  = 1<<53 - 1 // what every JSON reader keeps exactly
	platformMax = 1<<31 - 1
)

// DecodeEvent reads one CloudEvents event in structured JSON mode. It refuses what hookturn could not serve or what two
// readers could understand differently, always with an *InvalidError; attributes and members that it does not know are
// passed over. Free-form members keep the bytes they came with, the result shares no memory with raw.
func DecodeEvent(raw []byte) (Event, error) {
	text := strictjson.WithoutBOM(raw)
	switch {
	case len(raw) > MessageMax:
		return Event{}, invalid("is %d bytes long, at most %d are allowed", len(raw), MessageMax)
	case len(bytes.TrimSpace(text)) == 0:
		return Event{}, invalid("is empty")
	}
	var e envelope
	s := scanner{raw: raw, pos: len(raw) - len(text)}
	s.space()
	if err := s.object(e.attribute); err != nil {
		return Event{}, err
	}
	if err := s.end(); err != nil {
		return Event{}, err
	}
	if err := e.complete(); err != nil {
		return Event{}, err
	}
	// The type determines what data means and may come behind it, so data is read when the rest is known.
	s.pos, s.depth = e.dataAt, 1
	if err := decodeData(&s, e.event.Type, &e.event.Data); err != nil {
		return Event{}, under("data", err)
	}
	return e.event, nil
}

// envelope collects the attributes of an event.
type envelope struct {
	event   Event
	hasTime bool
	dataAt  int // where the value of data begins; 0 when there is none
}

// attribute reads one attribute. Names are compared exactly: "ID" is an unknown attribute, not the id.
func (e *envelope) attribute(s *scanner, name []byte) (err error) {
	ev := &e.event
	switch string(name) {
	case "specversion":
		if ev.SpecVersion, err = s.text(); err == nil && ev.SpecVersion != "1.0" {
			err = invalid(`must be "1.0"`)
		}
	case "id":
		ev.ID, err = s.label(idMax)
	case "source":
		ev.Source, err = s.label(sourceMax)
	case "type":
		if ev.Type, err = s.text(); err == nil && !isEventType(ev.Type) {
			err = invalid("must be one of %s", strings.Join(EventTypes(), ", "))
		}
	case "time":
		e.hasTime = true
		ev.Time, err = s.time()
	case "subject":
		ev.Subject, err = s.label(subjectMax)
	case "data":
		e.dataAt = s.pos
		if s.peek() != '{' {
			return s.wrongType("an object")
		}
		s.ahead = true
		err = s.skip()
		s.ahead = false
	default:
		err = e.optional(s, name)
	}
	return err
}

// optional reads an attribute that may be missing; null is the same as missing.
func (e *envelope) optional(s *scanner, name []byte) (err error) {
	if s.peek() == 'n' {
		return s.literal("null")
	}
	ev := &e.event
	switch string(name) {
	case "datacontenttype":
		ev.DataContentType, err = s.text()
	case "traceparent":
		if ev.TraceParent, err = s.text(); !isTraceParent(ev.TraceParent) {
			ev.TraceParent = "" // W3C Trace Context: who cannot read it starts a new trace
		}
	case "tracestate":
		if ev.TraceState, err = s.text(); !isTraceState(ev.TraceState) {
			ev.TraceState = ""
		}
	case "expirytime":
		var at time.Time
		at, err = s.time()
		ev.ExpiryTime = &at
	default:
		err = ev.extension(s, name)
	}
	return err
}

// complete returns which required attribute is missing.
func (e *envelope) complete() error {
	for _, a := range []struct {
		name  string
		found bool
	}{
		{"specversion", e.event.SpecVersion != ""},
		{"id", e.event.ID != ""},
		{"source", e.event.Source != ""},
		{"type", e.event.Type != ""},
		{"time", e.hasTime},
		{"subject", e.event.Subject != ""},
		{"data", e.dataAt > 0},
	} {
		if !a.found {
			return under(a.name, invalid("is required (attribute names are lower case)"))
		}
	}
	return nil
}

// text reads a string that is a value.
func (s *scanner) text() (string, error) { return s.textAs(asValue) }

// name reads a string that something is known by.
func (s *scanner) name() (string, error) { return s.textAs(asName) }

func (s *scanner) textAs(use use) (string, error) {
	if s.peek() != '"' {
		return "", s.wrongType("a string")
	}
	body, escaped, err := s.quoted(use)
	if err != nil || !escaped {
		return string(body), err
	}
	return unquote(body), nil
}

// label reads a string that names something: not empty, at most limit characters, no control characters.
func (s *scanner) label(limit int) (string, error) {
	text, err := s.name()
	switch {
	case err != nil:
		return "", err
	case text == "":
		return "", invalid("must not be empty")
	case len(text) > limit && utf8.RuneCountInString(text) > limit:
		return "", invalid("must have at most %d characters", limit)
	case strings.ContainsFunc(text, isControl):
		return "", invalid("must not hold control characters")
	}
	return text, nil
}

func isControl(r rune) bool { return r < ' ' || r >= 0x7f && r <= 0x9f }

// time reads a point in time.
func (s *scanner) time() (time.Time, error) {
	text, err := s.text()
	if err != nil {
		return time.Time{}, err
	}
	at, ok := parseTime(text)
	if !ok {
		return time.Time{}, invalid("must be a time as RFC 3339 has it, such as 2026-11-20T12:00:00Z")
	}
	return at, nil
}

// integer reads a whole number from 0 to limit.
func (s *scanner) integer(limit int64) (int64, error) {
	start := s.pos
	if c := s.peek(); c != '-' && !isDigit(c) {
		return 0, s.wrongType("an integer")
	}
	if err := s.number(); err != nil {
		return 0, err
	}
	n, ok := wholeNumber(string(s.raw[start:s.pos]), limit)
	if !ok {
		return 0, invalid("must be an integer from 0 to %s", strconv.FormatInt(limit, 10))
	}
	return n, nil
}

// value reads any value and keeps its bytes.
func (s *scanner) value() (json.RawMessage, error) {
	start := s.pos
	err := s.skip()
	return bytes.Clone(s.raw[start:s.pos]), err
}
