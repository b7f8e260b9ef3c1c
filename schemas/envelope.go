package schemas

import (
	"encoding/json"
	"time"

	"github.com/hookturn/hookturn/internal/strictjson"
)

// Envelope is what can be read of an event that DecodeEvent rejects: enough to answer it.
type Envelope struct {
	ID, Type, Subject       string
	Time                    time.Time // the zero time when it cannot be read
	TraceParent, TraceState string
	RepeatOf                string // the attribute AttributeRepeatOf
}

// DecodeEnvelope reads the envelope of an event whatever its data and its other attributes hold; ok is false when id, type
// or subject cannot be read, so that an answer could not be related to the event.
func DecodeEnvelope(raw []byte) (e Envelope, ok bool) {
	if len(raw) > MessageMax {
		return Envelope{}, false
	}
	var attributes map[string]json.RawMessage
	if json.Unmarshal(strictjson.WithoutBOM(raw), &attributes) != nil {
		return Envelope{}, false
	}
	text := func(name string, most int) string {
		value, err := newScanner(attributes[name]).label(most)
		if err != nil {
			return ""
		}
		return value
	}
	e = Envelope{
		ID: text("id", idMax), Type: text("type", sourceMax), Subject: text("subject", subjectMax),
		RepeatOf: text(AttributeRepeatOf, idMax),
	}
	e.TraceParent, e.TraceState = ValidTrace(text("traceparent", traceParentMax), text("tracestate", traceStateMax))
	if at, err := newScanner(attributes["time"]).time(); err == nil {
		e.Time = at
	}
	return e, e.ID != "" && e.Type != "" && e.Subject != ""
}
