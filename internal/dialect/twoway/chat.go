package twoway

import (
	"cmp"
	"encoding/json"
	"strconv"

	"github.com/google/uuid"

	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/fault"
)

// Chat is who talks to whom over which channel, as the router knows it.
type Chat struct {
	ID         string `json:"id"`
	SessionID  string `json:"sessionId,omitempty"`
	AccountID  string `json:"accountId"`
	Channel    string `json:"channel"`
	ClientID   string `json:"conversationClientId"`
	HostID     string `json:"conversationHostId"`
	ClientName string `json:"conversationClientName,omitempty"`
}

// namespace is the UUIDv5 namespace of chats and sessions.
var namespace = uuid.MustParse("5c7a6f0e-8f0b-5b9e-a3a4-3f1d2c9b7e60")

// ChatID returns an id that is the same for the same client, host and channel, and differs for all others.
func ChatID(client, host, channel string) string { return idOf("chat", client, host, channel) }

// idOf joins names by a byte that none of them holds, so that no two lists make the same id.
func idOf(names ...string) string {
	var joined []byte
	for _, name := range names {
		joined = append(append(joined, name...), 0)
	}
	return uuid.NewSHA1(namespace, joined).String()
}

// chatOf returns who talks to whom: as the event's params say, named like the members of a chat, else by what is known
// of the user and the adapter.
func chatOf(c dialect.Context) (Chat, error) {
	var fields [4]string
	for i, name := range []string{"conversationClientId", "conversationHostId", "channel", "conversationClientName"} {
		value, given := c.Event.Data.Params[name]
		if given && json.Unmarshal(value, &fields[i]) != nil {
			return Chat{}, fault.New(fault.BadEvent, "/data/params/%s: it must be a string", name)
		}
	}
	chat := Chat{
		AccountID:  c.Plan.Adapter.Account,
		ClientID:   cmp.Or(fields[0], c.User.ID, c.Event.Subject),
		HostID:     cmp.Or(fields[1], c.Plan.Adapter.Host),
		Channel:    cmp.Or(fields[2], c.Plan.Adapter.Channel),
		ClientName: cmp.Or(fields[3], c.User.FullName, c.User.Name),
	}
	chat.ID = ChatID(chat.ClientID, chat.HostID, chat.Channel)
	session := []string{"session", c.Plan.Tenant, c.Plan.Bot, c.Event.Subject, strconv.FormatInt(c.ConversationNo, 10)}
	if c.Round != "" { // each round of a conversation is a session
		session = append(session, c.Round)
	}
	chat.SessionID = idOf(session...)
	return chat, nil
}
