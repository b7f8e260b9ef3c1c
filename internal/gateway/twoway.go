package gateway

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialect/twoway"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/schemas"
)

// publishTimeout bounds the time until NATS has stored what came in.
const publishTimeout = 10 * time.Second

// takeSent is an adapter's outbound URL (contract, section 4.3): its owner sends messages to the client. Each becomes one
// hookturn.message.sent; a message that is posted again under its id within the dedupe window of the replies, 15 minutes, is
// answered alike and sent once.
func (o Options) takeSent(w http.ResponseWriter, r *http.Request) error {
	b, adapter, ok := o.Bots.Current().Adapter(r.PathValue("account"), r.PathValue("adapter"),
		r.Header.Get("X-Cm-Producttoken"))
	if !ok {
		// The vendor sends no WWW-Authenticate either.
		return httpapi.Reject(http.StatusUnauthorized, "",
			"the header X-Cm-Producttoken is not that of an adapter at this address")
	}
	if err := o.enter(r, b.ID().Tenant); err != nil {
		return err
	}
	body, err := httpapi.ReadJSON(w, r, httpapi.BodyMax, fault.BadEvent)
	if err != nil {
		return err
	}
	sent, err := twoway.DecodeSent(body, adapter)
	if err != nil {
		return rejectField(err)
	}
	ctx, cancel := context.WithTimeout(r.Context(), publishTimeout)
	defer cancel()
	if err := o.publishSent(ctx, b, adapter, sent); err != nil {
		return publishFailed(err, "bot", b.Name(), "adapter", adapter.Name)
	}
	return httpapi.Answer(w, mediaJSON, http.StatusCreated, map[string]any{"chat": sent.Chat, "message": "Message(s) accepted"})
}

func (o Options) publishSent(ctx context.Context, b *bot.Bot, adapter *bot.BotAdapter, sent twoway.Sent) error {
	conversation, err := o.Chats.Conversation(ctx, b.ID(), sent.Chat.ID)
	if err != nil {
		return err
	}
	if conversation == "" { // no earlier message in this chat: only its client is known
		conversation = sent.Chat.ClientID
	}
	for _, m := range sent.Messages {
		id := m.ID
		if id == "" {
			id = uuid.NewString()
		}
		reply, err := schemas.NewReply(b.ID().WithConversation(conversation), "", schemas.TypeMessageSent, time.Now(),
			schemas.MessageSent{Adapter: adapter.Name, MessageID: m.ID, Messages: []schemas.Message{m.Message}})
		if err != nil {
			return err
		}
		// The chat may have another conversation when the message is posted again.
		reply.ID = schemas.IDOf("sent", b.ID().WithConversation(""), adapter.Account, adapter.Name, sent.Chat.ID, id)
		if err := o.Bus.PublishReply(ctx, b.ID(), reply); err != nil {
			return err
		}
	}
	return nil
}

// rejectField returns the problem of an error that knows which member of the body is wrong.
func rejectField(err error) error {
	var event *schemas.InvalidError
	var field *twoway.FieldError
	switch {
	case errors.As(err, &event):
		return httpapi.RejectAt(event.Pointer, event.Message)
	case errors.As(err, &field):
		return httpapi.RejectAt(field.Pointer, field.Reason)
	}
	return httpapi.Reject(http.StatusBadRequest, fault.BadEvent, err.Error())
}

// publishFailed returns the problem of what could not be stored. A rejection is not logged: its client reads it.
func publishFailed(err error, names ...any) error {
	p := httpapi.Failed(err, "the request is not stored")
	if _, rejected := errors.AsType[*fault.Fault](err); !rejected {
		_ = p.Because(err, "storing a request on NATS failed", names...)
	}
	return p
}
