package schemas

import (
	"bytes"
	"strings"
	"time"

	"github.com/hookturn/hookturn/internal/strictjson"
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
	if err := e.read(newScanner(raw)); err != nil {
		return Event{}, asInvalid(err)
	}
	return e.event, nil
}

// envelope collects the attributes of an event.
type envelope struct {
	event   Event
	hasTime bool
	dataAt  int // where the value of data begins; 0 when there is none
}

// read reads the one event of a text.
func (e *envelope) read(s scanner) error {
	if err := s.Object(func(name []byte) error { return e.attribute(s, name) }); err != nil {
		return err
	}
	if err := s.End("the event"); err != nil {
		return err
	}
	if err := e.complete(); err != nil {
		return err
	}
	// The type determines what data means and may come behind it, so data is read when the rest is known.
	s.Return(e.dataAt, 1)
	return under("data", decodeData(s, e.event.Type, &e.event.Data))
}

// attribute reads one attribute. Names are compared exactly: "ID" is an unknown attribute, not the id.
func (e *envelope) attribute(s scanner, name []byte) (err error) {
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
		e.dataAt = s.Pos()
		if s.Peek() != '{' {
			return s.WrongType("an object")
		}
		err = s.SkipAhead()
	default:
		err = e.optional(s, name)
	}
	return err
}

// optional reads an attribute that may be missing; null is the same as missing.
func (e *envelope) optional(s scanner, name []byte) (err error) {
	if s.Peek() == 'n' {
		return s.Skip()
	}
	ev := &e.event
	switch string(name) {
	case "datacontenttype":
		ev.DataContentType, err = s.text()
	case "traceparent":
		ev.TraceParent, err = s.text()
		ev.TraceParent, _ = ValidTrace(ev.TraceParent, "")
	case "tracestate":
		ev.TraceState, err = s.text()
		_, ev.TraceState = ValidTrace("", ev.TraceState)
	case "expirytime":
		var at time.Time
		at, err = s.time()
		ev.ExpiryTime = &at
	default:
		err = ev.extension(s, name)
	}
	return err
}

// complete returns an error that names the required attribute that is missing.
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
