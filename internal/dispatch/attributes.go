package dispatch

import (
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// attributes are what a search finds a run by, as far as the bot file lets the ids of people be seen.
func (dp *Dispatcher) attributes(owner schemas.BotID, e schemas.Event) temporal.SearchAttributes {
	set := []temporal.SearchAttributeUpdate{
		temporal.NewSearchAttributeKeyKeyword(step.AttributeTenant).ValueSet(owner.Tenant),
		temporal.NewSearchAttributeKeyKeyword(step.AttributeBot).ValueSet(owner.Bot),
		temporal.NewSearchAttributeKeyKeyword(step.AttributeConversation).ValueSet(dp.visibleID(owner, e.Subject)),
	}
	if e.Data.Step != "" {
		set = append(set, temporal.NewSearchAttributeKeyKeyword(step.AttributeStep).ValueSet(e.Data.Step))
	}
	if e.Data.User != nil && e.Data.User.ID != "" && dp.visibility(owner).User {
		set = append(set, temporal.NewSearchAttributeKeyKeyword(step.AttributeUser).ValueSet(step.Searchable(e.Data.User.ID)))
	}
	return temporal.NewSearchAttributes(set...)
}

// visibleID is a conversation's id in search attributes and summaries.
func (dp *Dispatcher) visibleID(owner schemas.BotID, id string) string {
	if !dp.visibility(owner).Conversation {
		return schemas.ConversationToken(id)
	}
	return step.Searchable(id)
}

// visibility is what a bot lets be seen: nothing while its file is not known.
func (dp *Dispatcher) visibility(owner schemas.BotID) bot.Visibility {
	if b, known := dp.Bots.Current().Bot(owner); known {
		return b.Visibility()
	}
	return bot.Visibility{}
}

// shorten keeps a name within what a summary takes (400 bytes).
func shorten(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return schemas.ConversationToken(s)
}
