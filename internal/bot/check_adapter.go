package bot

import (
	"maps"
	"slices"

	"github.com/hookturn/hookturn/schemas"
)

// ChannelDefault is the channel of a chat when neither the event nor the adapter sets one: an own web chat.
const ChannelDefault = "CXWebConversations"

// adapter checks one TwoWay adapter and builds the plans of its endpoints.
func (c *checker) adapter(name string, a *fileAdapter) *BotAdapter {
	path := member("$.adapters", name)
	if !schemas.IsToken(name) {
		c.problem(path, "is not a name: want 1 to 64 of A-Z a-z 0-9 _ -")
	}
	switch {
	case !c.has(path + ".account"):
		c.problem(path+".account", "is missing")
	case a.Account == "":
		c.once(path+".account", "is empty")
	}
	c.secretName(path+".product_token", a.ProductToken)
	c.messageTypes(path+".extra_message_types", a.ExtraMessageTypes)
	if a.MessageEndpoint == nil && a.HandoverEndpoint == nil && a.EventsEndpoint == nil && !c.has(path+".product_token") {
		c.once(path, "has no endpoint and no product_token: nothing could come or go")
	}
	if channels := c.dialects.get(DialectTwoWay).Channels; c.has(path+".channel") && len(channels) > 0 {
		c.oneOf(path+".channel", a.Channel, channels...)
	}
	own := Adapter{Name: name, Account: a.Account, IsBot: a.IsBot, Channel: a.Channel, Host: a.Host}
	if own.Channel == "" {
		own.Channel = ChannelDefault
	}
	if own.Host == "" {
		own.Host = c.file.Bot
	}
	if e := a.EventsEndpoint; e != nil && (e.SessionEvents == nil || *e.SessionEvents) {
		own.Events = e.URL // checked below
	}
	adapter := &BotAdapter{Adapter: own, ProductToken: a.ProductToken, ExtraMessageTypes: a.ExtraMessageTypes,
		plans: map[string]Plan{}}
	if e := a.MessageEndpoint; e != nil {
		adapter.plans[schemas.TypeMessageReceived] = c.endpoint(path+".message_endpoint", own, e.URL, e.Headers)
	}
	if e := a.EventsEndpoint; e != nil {
		adapter.plans[schemas.TypeConversationEvent] = c.endpoint(path+".events_endpoint", own, e.URL, nil)
	}
	if e := a.HandoverEndpoint; e != nil {
		if _, err := ParseTemplate(e.Body); e.Body != "" && err != nil {
			c.problem(path+".handover_endpoint.body", "%s", err)
		}
		own.Body = e.Body
		adapter.plans[schemas.TypeConversationHandover] = c.endpoint(path+".handover_endpoint", own, e.URL, e.Headers)
	}
	return adapter
}

// endpoint is the plan of one endpoint of an adapter. Its step is the adapter's name: that is what replies and the Temporal
// UI call it.
func (c *checker) endpoint(path string, a Adapter, url string, headers map[string]string) Plan {
	if !c.has(path + ".url") {
		c.problem(path+".url", "is missing")
	}
	resolved := ""
	if url != "" {
		resolved = c.absolute(path+".url", url)
	}
	d := c.dialects.get(DialectTwoWay).defaults()
	return Plan{
		BotID: c.bot.id, Step: a.Name, Dialect: DialectTwoWay, Revision: c.revision,
		OnFailure: d.onFailure, Adapter: &a,
		Webhook: &Webhook{
			URL: resolved, Headers: c.headers(path+".headers", headers),
			Timeout: d.timeout, AttemptTimeout: d.attemptTimeout, Retry: defaultRetry(d.maxAttempts),
		},
	}
}

func (c *checker) messageTypes(path string, types []string) {
	seen := map[string]bool{}
	for i, name := range types {
		switch {
		case name == "":
			c.problem(item(path, i), "is empty")
		case name == "text":
			c.problem(item(path, i), "text is always known: leave it out")
		case seen[name]:
			c.problem(item(path, i), "%s is named twice", quote(name))
		}
		seen[name] = true
	}
}

// BotAdapter is a TwoWay adapter of a bot file.
type BotAdapter struct {
	Adapter
	ProductToken      string   // name of the secret that the outbound URL asks for; "" = the URL is closed
	ExtraMessageTypes []string // besides text
	plans             map[string]Plan
}

// Plan is how an event of a type is delivered to the adapter; false when it has no endpoint for it.
func (a *BotAdapter) Plan(eventType string) (Plan, bool) {
	plan, ok := a.plans[eventType]
	return plan, ok
}

// Adapter finds an adapter by its name.
func (b *Bot) Adapter(name string) (*BotAdapter, bool) {
	adapter, ok := b.adapters[name]
	return adapter, ok
}

// Adapters lists the adapters by name.
func (b *Bot) Adapters() []*BotAdapter {
	list := make([]*BotAdapter, 0, len(b.adapters))
	for _, name := range slices.Sorted(maps.Keys(b.adapters)) {
		list = append(list, b.adapters[name])
	}
	return list
}
