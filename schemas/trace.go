package schemas

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// isTraceParent reports whether s has the form of the W3C header traceparent: version, trace id, parent id and flags.
func isTraceParent(s string) bool {
	parts := strings.SplitN(s, "-", 5)
	if len(parts) < 4 || len(s) > traceParentMax || !isPrintable(s) {
		return false
	}
	version, trace, parent, flags := parts[0], parts[1], parts[2], parts[3]
	return isHex(version, 2) && version != "ff" && (version != "00" || len(parts) == 4) &&
		isHex(trace, 32) && strings.Trim(trace, "0") != "" && isHex(parent, 16) && strings.Trim(parent, "0") != "" &&
		isHex(flags, 2)
}

// Longer values are not passed on: later versions of traceparent may grow, tracestate is promised 512 characters.
const (
	traceParentMax = 128
	traceStateMax  = 512
)

// isTraceState reports whether s may travel as the W3C header tracestate.
func isTraceState(s string) bool { return len(s) <= traceStateMax && isPrintable(s) }

// ValidTrace returns the values of the W3C headers traceparent and tracestate as they may be passed on: one of another form,
// or with more than 128 or 512 bytes, is empty.
func ValidTrace(traceParent, traceState string) (parent, state string) {
	if isTraceParent(traceParent) { // W3C Trace Context: who cannot read it starts a new trace
		parent = traceParent
	}
	if isTraceState(traceState) {
		state = traceState
	}
	return parent, state
}

func isHex(s string, length int) bool {
	return len(s) == length && strings.Trim(s, "0123456789abcdef") == ""
}

// isPrintable reports whether s can be a header's value on every transport.
func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// TraceID is the trace that an event of a bot belongs to, as 32 lower-case hex digits: the one of its traceparent, or one
// made from its identity, so that every attempt of a step, every span and every log line agree on it.
func (e Event) TraceID(owner BotID) string {
	return TraceIDOf(e.TraceParent, owner.WithConversation(e.Subject), e.ID)
}

// TraceIDOf is the trace of an event by its traceparent or its identity; "" when it has neither a valid traceparent nor an
// id.
func TraceIDOf(traceParent string, key ConversationKey, id string) string {
	if isTraceParent(traceParent) {
		return strings.SplitN(traceParent, "-", 3)[1]
	}
	if id == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(EventMsgID(key, id)))
	return hex.EncodeToString(sum[:16])
}
