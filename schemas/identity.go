package schemas

// BotID identifies a bot: a bot's name is unique within its tenant only. Everything that is stored, compared, cached,
// locked or limited for a bot is keyed by both. The members are left out when they are empty, which only a zero value
// has.
type BotID struct {
	Tenant string `json:"tenant,omitempty"`
	Bot    string `json:"bot,omitempty"`
}

// ConversationKey identifies a conversation: an id of a conversation is unique within its bot only.
type ConversationKey struct {
	BotID

	Conversation string `json:"conversation,omitempty"` // the true id, not the subject token
}

// WithConversation returns the key of a conversation of the bot.
func (b BotID) WithConversation(conversation string) ConversationKey {
	return ConversationKey{BotID: b, Conversation: conversation}
}

// Source is the CloudEvents source of what hookturn publishes for a bot.
func (b BotID) Source() string { return "/hookturn/" + b.Tenant + "/" + b.Bot }

// Valid reports whether both members can travel as subject tokens.
func (b BotID) Valid() bool { return IsToken(b.Tenant) && IsToken(b.Bot) }
