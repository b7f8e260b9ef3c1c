// Package dialect defines what a partner's JSON dialect is: how a step becomes the body of a request, which HTTP statuses
// are good, and how the endpoint's answer becomes a bot response. Each dialect is a package below this one.
//
// A dialect promises:
//   - it does no I/O, knows no clock and no secret: the same Context always encodes to the same bytes, so every attempt
//     of a step can be signed alike;
//   - it reads any bytes at all without a panic: package strictjson states the rules of an answer;
//   - every error of Decode and MergeUserDetails is a *fault.Fault, and no error text holds any part of a body.
package dialect

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/strictjson"
	"github.com/hookturn/hookturn/schemas"
)

// Context is all that an encoder or decoder may look at. It holds values only, and a dialect never changes them.
type Context struct {
	Plan                bot.Plan
	Event               schemas.Event // the event that asked for the step
	User                schemas.User  // as the engine gave it; the dialect fills in its defaults
	ConversationNo      int64
	Entities            map[string][]schemas.Entity // all that were collected so far
	ConversationDetails json.RawMessage             // a JSON object; nil = never set
	UserDetails         json.RawMessage             // a JSON object; nil = never set
	Variables           map[string]string           // the conversation's, the event's included
	Params              map[string]json.RawMessage  // the conversation's from earlier events; the event's own come on top
	// Round is the id of the event that opened this round of the conversation; "" = not known (workflows of earlier releases).
	Round string
}

// Request is what an encoder makes. Header holds the content type and the dialect's own headers; the caller adds
// signatures, authorization and tracing.
type Request struct {
	Body   []byte
	Header http.Header
	// Chat is the id under which the partner will speak of this conversation; "" = it has no way to.
	Chat string
}

// Answer is what a decoder makes of an endpoint's body, or of a script's. It travels to the conversation as a part of
// step.WebhookResult: the names of its JSON members stand in recorded histories.
type Answer struct {
	// Success is false when the answer is the step's failure response (haptik: status false).
	Success  bool              `json:"success"`
	Messages []schemas.Message `json:"messages,omitempty"`
	// Variables are those that the step sets; a nil value deletes one.
	Variables map[string]*string `json:"variables,omitempty"`
	// ConversationDetails is the conversation's store after this step; nil = the dialect has none.
	ConversationDetails json.RawMessage `json:"details,omitempty"`
	// UserDetailsUpdate is merged into the user's store by MergeUserDetails before the answer leaves the activity; nil = no
	// update.
	UserDetailsUpdate json.RawMessage `json:"-"`
	// Conversation is schemas.ConversationOpen, -Complete or -Handover; "" = as in the bot file.
	Conversation string          `json:"conversation,omitempty"`
	Output       json.RawMessage `json:"output,omitempty"`  // a code step's whole decoded body
	Problem      *fault.Fault    `json:"problem,omitempty"` // a part was refused (too_large) although the answer stands
}

// Dialect is one partner's JSON, both ways.
type Dialect interface {
	// Spec returns what bot files know of the dialect: its name, its defaults, its keys.
	Spec() bot.Spec
	// Encode makes the request of the step in c. The same Context gives the same bytes.
	Encode(c Context) (Request, error)
	// GoodStatus reports whether the body of an answer with this HTTP status is worth decoding.
	GoodStatus(status int) bool
	// Decode reads the body of an answer with a good status. Its error is a *fault.Fault; the step then changes nothing. A
	// fault that is Passing is this process's own: the same body may be read later.
	Decode(c Context, body []byte) (Answer, error)
	// MergeUserDetails applies an update of Answer.UserDetailsUpdate to the user's store: a shallow merge in which null
	// deletes. An update that would break the store's limit is refused as a whole: the result is old and a fault of the
	// kind too_large.
	MergeUserDetails(old, update json.RawMessage) (json.RawMessage, error)
}

// BodyIgnorer is a dialect in which the status of an answer is the whole answer: Decode does not look at the body, so one
// that cannot be received is not a failure.
type BodyIgnorer interface {
	// IgnoresBody marks the dialect.
	IgnoresBody()
}

// Deferrer is a dialect in which an endpoint may say "I will call back" instead of answering. What comes then is read by
// Decode, like an answer.
type Deferrer interface {
	// Deferred reports whether this answer of a good status means that; offered is true when the request named an address
	// to call back. Then the body, nil when it could not be received, does not matter.
	Deferred(status int, body []byte, offered bool) bool
}

// Read reads the body of an answer with a good status. callsBack reports that the endpoint announced a callback instead of
// answering; offered is true when the request named an address for it. An announcement without an offer is a fault of the
// kind config.
func Read(d Dialect, c Context, status int, body []byte, offered bool) (a Answer, callsBack bool, failed *fault.Fault) {
	deferrer, can := d.(Deferrer)
	switch {
	case !can || !deferrer.Deferred(status, body, offered):
		a, err := Decode(d, c, body)
		return a, false, fault.Of(err)
	case !offered:
		return Answer{}, false, fault.New(fault.Config, "the endpoint answered 202 to call back, but the request had no header "+
			"hookturn-callback: let it answer at once, or set HOOKTURN_GATEWAY_URL for the workers, who send the header then")
	}
	return Answer{}, true, nil
}

// Decode reads the body of an answer with a good status, as Decode of the dialect does, and checks its size.
func Decode(d Dialect, c Context, body []byte) (Answer, error) {
	a, err := d.Decode(c, body)
	if err != nil {
		return a, err
	}
	if err := a.CheckSize(); err != nil {
		return Answer{}, err
	}
	return a, nil
}

// answerMax is the largest answer, in bytes as JSON: no reply can hold a larger one. The result of an activity could hold
// twice as much; a workflow task with a larger one fails, however often it is repeated.
const answerMax = schemas.MessageMax

// CheckSize returns a fault of the kind too_large for an answer that no reply can hold. A body of a few hundred kilobytes is
// enough for one: as a message, each element of a list takes some 30 bytes more.
func (a Answer) CheckSize() error {
	texts, messages := len(a.Output)+len(a.ConversationDetails), len(a.Messages)
	for _, m := range a.Messages {
		texts += len(m.Text) + len(m.HSL) + len(m.Payload)
	}
	for name, value := range a.Variables {
		messages++
		texts += len(name)
		if value != nil {
			texts += len(*value)
		}
	}
	if messages*namesMost+texts*escapedMost <= answerMax {
		return nil
	}
	encoded, err := schemas.Marshal(a)
	switch {
	case err != nil:
		return fault.Wrap(fault.Internal, err, "the answer cannot be encoded")
	case len(encoded) > answerMax:
		return fault.New(fault.TooLarge, "the answer has %d messages and takes %d bytes as JSON, at most %d are allowed",
			len(a.Messages), len(encoded), answerMax)
	}
	return nil
}

const (
	namesMost   = 64 // bytes of the names and braces of one message
	escapedMost = 6  // bytes of one byte of a text
)

// Unreadable turns an error of package strictjson into the fault of an answer that cannot be read: encoding where the
// bytes are not Unicode text, bad_response otherwise. The message names the broken rule and its place, never the text.
func Unreadable(err error) *fault.Fault {
	kind := fault.BadResponse
	if errors.Is(err, strictjson.ErrUTF8) || errors.Is(err, strictjson.ErrSurrogate) {
		kind = fault.Encoding
	}
	return fault.Wrap(kind, err, "the answer cannot be read: %v", err)
}
