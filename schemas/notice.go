package schemas

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
)

// SubjectNotices is the root of the subjects of event notifications to the WebSockets of integration channels:
// hookturn.notices.<tenant>.<bot>.<class>. Notices are plain NATS messages: subscribers receive them, no stream stores them.
// Engines, scripts and every other client that may publish there publish them.
const SubjectNotices = "hookturn.notices"

// NoticeMax bounds a notice, in bytes of its JSON. Larger ones are not published, and not passed on.
const NoticeMax = 64 << 10

// Notice is one CloudEvents 1.0 event that websockets subscribe to. Its type is its class.
type Notice struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	Type            string          `json:"type"`
	Time            time.Time       `json:"time,omitzero"`
	Subject         string          `json:"subject,omitempty"` // the object that it is about
	DataContentType string          `json:"datacontenttype,omitempty"`
	Data            json.RawMessage `json:"data,omitempty"`
}

// Classes of system notices, by which hookturn itself publishes what it did. Nothing else may use classes that begin with
// ClassSystem.
const (
	ClassSystem               = "hookturn"
	ClassStepEnded            = "hookturn.step.ended"
	ClassConversationHandover = "hookturn.conversation.handover"
	ClassConversationClosed   = "hookturn.conversation.closed"
	ClassChannelChanged       = TypeChannelChanged
	ClassEndpointChanged      = TypeEndpointChanged
)

// IsSystemClass reports whether a class of notices is hookturn's own.
func IsSystemClass(class string) bool {
	return class == ClassSystem || strings.HasPrefix(class, ClassSystem+".")
}

// errNoClass is the error of an invalid class.
var errNoClass = errors.New("a class of events is words of A-Z a-z 0-9 _ - with dots between them, 8 at most")

// NewNotice returns a new notice of a bot, or an error when class is not a valid class.
func NewNotice(owner BotID, class, object string, at time.Time, data json.RawMessage) (Notice, error) {
	if !IsClass(class) {
		return Notice{}, errNoClass
	}
	return Notice{
		SpecVersion: "1.0", ID: uuid.NewString(), Source: owner.Source(), Type: class, Time: at.UTC(),
		Subject: object, DataContentType: mediaJSON, Data: data,
	}, nil
}

// classWords bounds the words of a class.
const classWords = 8

// IsClass reports whether s is a class of notices: words of the form [A-Za-z0-9_-]{1,64} with dots between them, at most 8.
func IsClass(s string) bool {
	words := strings.Split(s, ".")
	for _, word := range words {
		if !IsToken(word) {
			return false
		}
	}
	return len(words) <= classWords
}

// IsClassPattern reports whether s selects classes of notices: a class in which a word may be * for any word, and the last
// one > for all further words. It has at most as many words as a class.
func IsClassPattern(s string) bool {
	words := strings.Split(s, ".")
	for i, word := range words {
		if !IsToken(word) && word != "*" && (word != ">" || i != len(words)-1) {
			return false
		}
	}
	return len(words) <= classWords
}

// NoticeSubject is where notices of a class are published.
func NoticeSubject(owner BotID, class string) string {
	return SubjectNotices + "." + owner.Tenant + "." + owner.Bot + "." + class
}
