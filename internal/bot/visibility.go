package bot

// What the key visibility.conversation can be.
const (
	VisibleID    = "id"
	VisibleToken = "token"
)

// fileVisibility is what the search attributes of Temporal show of the people who speak with a bot.
type fileVisibility struct {
	User         bool   `yaml:"user"`
	Conversation string `yaml:"conversation"`
}

// Visibility is what the search attributes and summaries of a bot's runs show.
type Visibility struct {
	User         bool // HookturnUser has the user's id
	Conversation bool // HookturnConversation has the conversation's id; false = its subject token
}

// Visibility returns what search attributes show of the bot's conversations.
func (b *Bot) Visibility() Visibility { return b.visibility }

func (c *checker) visibility() {
	v := c.file.Visibility
	c.oneOf("$.visibility.conversation", v.Conversation, VisibleID, VisibleToken)
	c.bot.visibility = Visibility{User: v.User, Conversation: v.Conversation != VisibleToken}
}
