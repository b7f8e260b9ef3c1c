package schemas

import (
	"encoding/json"
	"unicode/utf8"
)

// Envelope is what can be read of an event that DecodeEvent rejects: enough to answer it.
type Envelope struct {
	ID, Type, Subject       string
	TraceParent, TraceState string
}

// DecodeEnvelope reads the envelope of an event whatever its data and its other attributes hold; ok is false when id, type
// or subject cannot be read, so that nobody could relate an answer to the event.
func DecodeEnvelope(raw []byte) (e Envelope, ok bool) {
	if len(raw) > MessageMax {
		return Envelope{}, false
	}
	var attributes map[string]json.RawMessage
	if json.Unmarshal(withoutBOM(raw), &attributes) != nil {
		return Envelope{}, false
	}
	text := func(name string, most int) string {
		var value string
		if json.Unmarshal(attributes[name], &value) != nil || !isLabel(value, most) {
			return ""
		}
		return value
	}
	e = Envelope{
		ID: text("id", idMax), Type: text("type", sourceMax), Subject: text("subject", subjectMax),
		TraceParent: text("traceparent", sourceMax), TraceState: text("tracestate", sourceMax),
	}
	return e, e.ID != "" && e.Type != "" && e.Subject != ""
}

// isLabel reports whether a text may name something: not empty, at most limit characters, no control characters.
func isLabel(text string, limit int) bool {
	if text == "" || len(text) > limit && utf8.RuneCountInString(text) > limit {
		return false
	}
	for _, r := range text {
		if isControl(r) {
			return false
		}
	}
	return true
}

// withoutBOM cuts a leading UTF-8 byte order mark.
func withoutBOM(raw []byte) []byte {
	const bom = "\xef\xbb\xbf"
	if len(raw) >= len(bom) && string(raw[:len(bom)]) == bom {
		return raw[len(bom):]
	}
	return raw
}
