package schemas

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Streams and the roots of their subjects; a subject is root.<tenant>.<bot>.<conversation> (contract, section 2.1).
const (
	StreamEvents      = "HOOKTURN_EVENTS"
	StreamReplies     = "HOOKTURN_REPLIES"
	StreamDeadLetters = "HOOKTURN_DEADLETTERS"

	SubjectEvents      = "hookturn.events"
	SubjectReplies     = "hookturn.replies"
	SubjectDeadLetters = "hookturn.deadletters"
)

// MessageMax is the largest message on NATS, in bytes.
const MessageMax = 1 << 20

// tokenMax is the longest subject token, in bytes.
const tokenMax = 64

// IsToken reports whether s can travel as it is in a NATS subject: [A-Za-z0-9_-]{1,64}.
func IsToken(s string) bool {
	if s == "" || len(s) > tokenMax {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// ConversationToken is the subject token of a conversation id: the id itself when it is a token, else "x" and the first
// 32 hex digits of its SHA-256. The true id always travels in the CloudEvents attribute subject.
func ConversationToken(id string) string {
	if IsToken(id) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "x" + hex.EncodeToString(sum[:])[:32]
}

// Subject joins a root and the tokens of tenant, bot and conversation. The conversation may be any id.
func Subject(root string, key ConversationKey) string {
	return root + "." + key.Tenant + "." + key.Bot + "." + ConversationToken(key.Conversation)
}

// ParseSubject splits the subject of an event, reply or dead letter into its tokens; the conversation of the key is then a
// token, not the true id. ok reports whether the subject has three tokens below the root.
func ParseSubject(root, subject string) (key ConversationKey, ok bool) {
	rest, found := strings.CutPrefix(subject, root+".")
	tokens := strings.Split(rest, ".")
	if !found || len(tokens) != 3 {
		return ConversationKey{}, false
	}
	return BotID{tokens[0], tokens[1]}.WithConversation(tokens[2]), true
}
