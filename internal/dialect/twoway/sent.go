package twoway

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/nearest"
	"github.com/hookturn/hookturn/internal/strictjson"
	"github.com/hookturn/hookturn/schemas"
)

// sentDirection is the direction of a message from the host to the client, the only one that an adapter may send.
const sentDirection = "ClientTerminated"

// sentMax bounds the messages of one request, idMax the id of one, in bytes.
const (
	sentMax = 100
	idMax   = 256
)

// Channels are the media that the vendor's router accepts, spelled as it spells them.
func Channels() []string {
	return []string{
		"Apple Business Chat", "iMessage", "WhatsApp", "Line", "Push", "RCS", "SMS", "Viber", "Voice", "Facebook Messenger",
		"MobilePush", "CXWebConversations", "Instagram", "Telegram Messenger", "Slack", "Microsoft Teams",
	}
}

// Sent is what an adapter's owner sends to the client.
type Sent struct {
	Chat     Chat // as the router knows it: the sender's own id and session are replaced
	Messages []SentMessage
}

// SentMessage is one message for the client.
type SentMessage struct {
	ID      string // "" when the sender gave none
	Message schemas.Message
}

// FieldError names the member that is wrong. It holds no value of the message.
type FieldError struct {
	Pointer string // RFC 6901; "" is the whole body
	Reason  string
}

func (e *FieldError) Error() string { return strings.TrimSpace(e.Pointer + " " + e.Reason) }

func wrong(pointer, format string, args ...any) error {
	return &FieldError{Pointer: pointer, Reason: fmt.Sprintf(format, args...)}
}

// DecodeSent reads the envelope that is posted to an adapter's outbound URL. It is strict where the vendor's router is:
// required members, spelling and case. Unknown members are passed over. The error is a *FieldError.
func DecodeSent(body []byte, adapter *bot.BotAdapter) (Sent, error) {
	envelope, err := strictjson.ReadObject(body)
	if err != nil {
		return Sent{}, wrong("", "%s", err)
	}
	chat, err := sentChat(envelope.Lookup("chat"), adapter)
	if err != nil {
		return Sent{}, err
	}
	if events := envelope.Lookup("conversationEvents"); events != nil && strictjson.Kind(events) == "array" &&
		strings.Trim(string(events), "[] \t\r\n") != "" {
		return Sent{}, wrong("/conversationEvents", "are not taken here: send messages")
	}
	var items []json.RawMessage
	list := envelope.Lookup("conversationMessages")
	if list == nil || json.Unmarshal(list, &items) != nil || len(items) == 0 {
		return Sent{}, wrong("/conversationMessages", "must be an array of at least one message")
	}
	if len(items) > sentMax {
		return Sent{}, wrong("/conversationMessages", "has %d messages: at most %d are taken at a time", len(items), sentMax)
	}
	sent := Sent{Chat: chat}
	for i, item := range items {
		message, err := sentMessage("/conversationMessages/"+strconv.Itoa(i), item, adapter)
		if err != nil {
			return Sent{}, err
		}
		sent.Messages = append(sent.Messages, message)
	}
	return sent, nil
}

func sentChat(text json.RawMessage, adapter *bot.BotAdapter) (Chat, error) {
	if strictjson.Kind(text) != "object" {
		return Chat{}, wrong("/chat", "must be an object")
	}
	members, err := strictjson.ReadObject(text)
	if err != nil {
		return Chat{}, wrong("/chat", "%s", err)
	}
	var chat Chat
	var id string // any value passes: the router answers with its own
	for _, m := range []struct {
		name string
		into *string
	}{
		{"id", &id}, {"accountId", &chat.AccountID}, {"channel", &chat.Channel},
		{"conversationClientId", &chat.ClientID}, {"conversationHostId", &chat.HostID},
	} {
		if err := requiredText(members, "/chat", m.name, m.into); err != nil {
			return Chat{}, err
		}
		if m.into != &id && isReplaced(*m.into) {
			return Chat{}, wrong("/chat/"+m.name, unreadableName)
		}
	}
	if name := members.Lookup("conversationClientName"); name != nil && json.Unmarshal(name, &chat.ClientName) != nil {
		return Chat{}, wrong("/chat/conversationClientName", "must be a string")
	}
	if chat.AccountID != adapter.Account {
		return Chat{}, wrong("/chat/accountId", "is not the account of the address")
	}
	if !slices.Contains(Channels(), chat.Channel) {
		return Chat{}, wrong("/chat/channel", "%s", oneOfChannels(chat.Channel))
	}
	chat.ID = ChatID(chat.ClientID, chat.HostID, chat.Channel)
	return chat, nil
}

func sentMessage(at string, text json.RawMessage, adapter *bot.BotAdapter) (SentMessage, error) {
	if strictjson.Kind(text) != "object" {
		return SentMessage{}, wrong(at, "must be an object")
	}
	members, err := strictjson.ReadObject(text)
	if err != nil {
		return SentMessage{}, wrong(at, "%s", err)
	}
	var kind, direction, words string
	if err := requiredText(members, at, "$type", &kind); err != nil {
		return SentMessage{}, err
	}
	if kind != "text" && !slices.Contains(adapter.ExtraMessageTypes, kind) {
		types := append([]string{"text"}, adapter.ExtraMessageTypes...)
		return SentMessage{}, wrong(at+"/$type", "is unknown: want %s%s", strings.Join(types, ", "), nearest.Hint(kind, types))
	}
	if err := requiredText(members, at, "direction", &direction); err != nil {
		return SentMessage{}, err
	}
	if direction != sentDirection {
		return SentMessage{}, wrong(at+"/direction", "must be %s", sentDirection)
	}
	sent := SentMessage{Message: schemas.Custom(members.Text())}
	if id := members.Lookup("id"); id != nil && json.Unmarshal(id, &sent.ID) != nil {
		return SentMessage{}, wrong(at+"/id", "must be a string")
	}
	if isReplaced(sent.ID) {
		return SentMessage{}, wrong(at+"/id", unreadableName)
	}
	if len(sent.ID) > idMax {
		return SentMessage{}, wrong(at+"/id", "must have at most %d bytes", idMax)
	}
	if kind != "text" {
		return sent, nil
	}
	if err := requiredText(members, at, "text", &words); err != nil {
		return SentMessage{}, err
	}
	sent.Message = schemas.Text(words)
	return sent, nil
}

func requiredText(o strictjson.Object, at, name string, into *string) error {
	value := o.Lookup(name)
	if value == nil {
		return wrong(at+"/"+name, "is required")
	}
	if json.Unmarshal(value, into) != nil {
		return wrong(at+"/"+name, "must be a string")
	}
	if *into == "" {
		return wrong(at+"/"+name, "must not be empty")
	}
	return nil
}

// isReplaced reports whether a text may have held something else: U+0000 and halves of surrogate pairs are read as U+FFFD,
// which would make one id of two.
func isReplaced(id string) bool { return strings.ContainsRune(id, unicode.ReplacementChar) }

const unreadableName = "must not hold U+0000, half a surrogate pair or U+FFFD"
