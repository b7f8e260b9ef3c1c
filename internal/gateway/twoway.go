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
	"github.com/hookturn/hookturn/schemas"
)

// publishTimeout bounds the time until NATS has stored what came in.
const publishTimeout = 10 * time.Second

// takeSent is an adapter's outbound URL (contract, section 4.3): its owner sends messages to the client. Each becomes one
// hookturn.message.sent; a message that is posted again under its id within the dedupe window of the replies, 15 minutes, is
// answered alike and sent once.
func (o Options) takeSent(w http.ResponseWriter, r *http.Request) {
	b, adapter, ok := o.Bots.Current().Adapter(r.PathValue("account"), r.PathValue("adapter"),
		r.Header.Get("X-Cm-Producttoken"))
	if !ok {
		// The vendor sends no WWW-Authenticate either.
		refuse(w, http.StatusUnauthorized, "", "the header X-Cm-Producttoken is not that of an adapter at this address")
		return
	}
	body, ok := readJSON(w, r, bodyMax, fault.BadEvent)
	if !ok {
		return
	}
	sent, err := twoway.DecodeSent(body, adapter)
	if err != nil {
		refuseField(w, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), publishTimeout)
	defer cancel()
	if err := o.publishSent(ctx, b, adapter, sent); err != nil {
		o.refusePublish(w, err, "bot", b.Name(), "adapter", adapter.Name)
		return
	}
	answer(w, "application/json", http.StatusCreated, map[string]any{"chat": sent.Chat, "message": "Message(s) accepted"})
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
		reply, err := schemas.NewReply(b.ID().WithConversation(conversation),
			"twoway/"+adapter.Account+"/"+adapter.Name+"/"+sent.Chat.ID+"/"+id,
			schemas.TypeMessageSent, time.Now(), schemas.MessageSent{
				Adapter: adapter.Name, MessageID: m.ID, Messages: []schemas.Message{m.Message},
			})
		if err != nil {
			return err
		}
		if err := o.Bus.PublishReply(ctx, b.ID(), reply); err != nil {
			return err
		}
	}
	return nil
}

// refusePublish answers what could not be stored.
func (o Options) refusePublish(w http.ResponseWriter, err error, names ...any) {
	if _, rejected := errors.AsType[*fault.Fault](err); !rejected {
		o.Log.Warn("storing a request on NATS failed", append(names, "error", err)...)
	}
	refuseFailed(w, err, "the request is not stored")
}
