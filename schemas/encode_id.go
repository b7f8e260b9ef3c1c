package schemas

import "github.com/google/uuid"

// encodedIDMax is the longest id that is used as it is, in bytes: with a prefix, tenant, bot and conversation it fits
// into the 1,000 bytes that Temporal takes for an id.
const encodedIDMax = 256

// encodedNamespace is the UUIDv5 namespace of encoded ids.
var encodedNamespace = uuid.MustParse("0c9a6a2b-7f5d-5a3e-8f64-2f6c1f1b8d10")

// EncodeID returns id in the form in which it can be part of a workflow id, an update id, a header value and the
// content that a webhook signature covers: the id itself where it is 1 to 256 visible ASCII characters without a dot,
// else a UUIDv5 made from its bytes.
func EncodeID(id string) string {
	if isPlainID(id) {
		return id
	}
	return uuid.NewSHA1(encodedNamespace, []byte(id)).String()
}

func isPlainID(id string) bool {
	if id == "" || len(id) > encodedIDMax {
		return false
	}
	for _, c := range []byte(id) {
		if c <= ' ' || c >= 0x7f || c == '.' {
			return false
		}
	}
	return true
}

// identityNamespace is the UUIDv5 namespace of ids that are made from a whole identity. Changing it would break the
// deduplication of what is stored already.
var identityNamespace = uuid.MustParse("5d0b7a3e-4f0c-5b55-9d0e-6a1f3c1f0e77")

// IDOf returns an id that is the same for the same kind, conversation and parts, and for no others: for deduplication.
func IDOf(kind string, key ConversationKey, parts ...string) string {
	var joined []byte
	for _, part := range append([]string{kind, key.Tenant, key.Bot, key.Conversation}, parts...) {
		// The length in front keeps two lists apart whose parts have the same bytes, divided otherwise.
		joined = append(joined, byte(len(part)>>24), byte(len(part)>>16), byte(len(part)>>8), byte(len(part)))
		joined = append(joined, part...)
	}
	return uuid.NewSHA1(identityNamespace, joined).String()
}

// ReplyID is the CloudEvents id of a reply: a pure function of the conversation, the event's id and the reply's type,
// so that a reply that is published twice is stored once.
func ReplyID(key ConversationKey, eventID, replyType string) string {
	return IDOf("reply", key, eventID, replyType)
}

// EventMsgID is the Nats-Msg-Id under which hookturn itself publishes an event: an event's id is unique within its
// conversation only, a Nats-Msg-Id must be unique over the stream.
func EventMsgID(key ConversationKey, eventID string) string { return IDOf("event", key, eventID) }
