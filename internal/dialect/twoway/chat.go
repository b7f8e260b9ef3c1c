package twoway

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/nearest"
	"github.com/hookturn/hookturn/schemas"
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

// Params are the params of an event that name the members of its chat. "" where the event does not have the param.
type Params struct{ ClientID, HostID, Channel, ClientName string }

// ParamsOf reads the params of an event to an adapter. The fault is of the kind bad_event and names the param that is not a
// string, or a channel that is not one of Channels.
func ParamsOf(e schemas.Event) (p Params, failed *fault.Fault) {
	for _, param := range []struct {
		name string
		into *string
	}{
		{"conversationClientId", &p.ClientID}, {"conversationHostId", &p.HostID}, {"channel", &p.Channel},
		{"conversationClientName", &p.ClientName},
	} {
		if value, given := e.Data.Params[param.name]; given && json.Unmarshal(value, param.into) != nil {
			return Params{}, fault.New(fault.BadEvent, "/data/params/%s: it must be a string", param.name)
		}
	}
	if p.Channel != "" && !slices.Contains(Channels(), p.Channel) {
		return Params{}, fault.New(fault.BadEvent, "/data/params/channel: it %s", oneOfChannels(p.Channel))
	}
	return p, nil
}

// oneOfChannels is the reason why a text is not a channel. It does not hold the text.
func oneOfChannels(text string) string {
	return "must be one of " + strings.Join(Channels(), ", ") + nearest.Hint(text, Channels())
}

// chatOf returns who talks to whom: as the event's params say, named like the members of a chat, else by what is known
// of the user and the adapter.
func chatOf(c dialect.Context) (Chat, error) {
	params, failed := ParamsOf(c.Event)
	if failed != nil {
		return Chat{}, failed
	}
	chat := Chat{
		AccountID:  c.Plan.Adapter.Account,
		ClientID:   cmp.Or(params.ClientID, c.User.ID, c.Event.Subject),
		HostID:     cmp.Or(params.HostID, c.Plan.Adapter.Host),
		Channel:    cmp.Or(params.Channel, c.Plan.Adapter.Channel),
		ClientName: cmp.Or(params.ClientName, c.User.FullName, c.User.Name),
	}
	chat.ID = ChatID(chat.ClientID, chat.HostID, chat.Channel)
	session := []string{"session", c.Plan.Tenant, c.Plan.Bot, c.Event.Subject}
	if c.Round == "" {
		session = append(session, strconv.FormatInt(c.ConversationNo, 10))
	} else { // each round of a conversation is a session, also when an event brings the number in the middle of it
		session = append(session, "0", c.Round)
	}
	chat.SessionID = idOf(session...)
	return chat, nil
}
