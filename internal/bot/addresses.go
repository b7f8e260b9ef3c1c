package bot

import (
	"net/url"
	"slices"
	"strings"

	"github.com/hookturn/hookturn/schemas"
)

// Addresses are what integrators need to know of a bot.
type Addresses struct {
	Tenant   string           `json:"tenant"`
	Bot      string           `json:"bot"`
	Steps    []StepAddress    `json:"steps"`
	Adapters []AdapterAddress `json:"adapters"`
	Channels []ChannelAddress `json:"channels"`
}

// StepAddress is the address of a step.
type StepAddress struct {
	Step    string `json:"step"`
	Dialect string `json:"dialect"`
	URL     string `json:"url,omitempty"` // of a webhook
	Code    bool   `json:"code,omitempty"`
}

// AdapterAddress has the addresses of an adapter.
type AdapterAddress struct {
	Adapter     string `json:"adapter"`
	OutboundURL string `json:"outbound_url,omitempty"` // none: the adapter has no product_token
	MessageURL  string `json:"message_url,omitempty"`
	HandoverURL string `json:"handover_url,omitempty"`
	EventsURL   string `json:"events_url,omitempty"`
}

// ChannelAddress has the addresses of a channel.
type ChannelAddress struct {
	Channel   string `json:"channel"`
	Type      string `json:"type"`
	HTTP      string `json:"http_url,omitempty"` // none: no script for HTTP
	WebSocket string `json:"websocket_url"`
	FarEnd    string `json:"url,omitempty"`
}

// AddressesOf returns the addresses of a bot. gateway is the public URL of the gateway, without a slash at its end; empty:
// paths are returned.
func AddressesOf(b *Bot, gateway string) Addresses {
	a := Addresses{
		Tenant: b.Tenant(), Bot: b.Name(), Steps: []StepAddress{}, Adapters: []AdapterAddress{}, Channels: []ChannelAddress{},
	}
	for _, name := range b.Steps() {
		plan, err := b.Plan(name)
		if err != nil { // the name came from the bot
			continue
		}
		s := StepAddress{Step: name, Dialect: plan.Dialect, Code: plan.Code != nil}
		if plan.Webhook != nil {
			s.URL = plan.Webhook.URL
		}
		a.Steps = append(a.Steps, s)
	}
	for _, adapter := range b.Adapters() {
		a.Adapters = append(a.Adapters, addressOfAdapter(adapter, gateway))
	}
	for _, ch := range b.Channels() {
		c := ChannelAddress{Channel: ch.Code, Type: ch.Type, WebSocket: webSocket(gateway) + "/ws/token/v1", FarEnd: ch.URL}
		if ch.Scripted() && ch.Recv != "" {
			c.HTTP = gateway + "/exec"
		}
		a.Channels = append(a.Channels, c)
	}
	return a
}

func addressOfAdapter(adapter *BotAdapter, gateway string) AdapterAddress {
	a := AdapterAddress{Adapter: adapter.Name}
	if adapter.ProductToken != "" {
		a.OutboundURL = gateway + "/conversational/twoway/v2/accounts/" + url.PathEscape(adapter.Account) +
			"/adapters/" + url.PathEscape(adapter.Name)
	}
	for kind, into := range map[string]*string{
		schemas.TypeMessageReceived: &a.MessageURL, schemas.TypeConversationHandover: &a.HandoverURL,
		schemas.TypeConversationEvent: &a.EventsURL,
	} {
		if plan, ok := adapter.Plan(kind); ok {
			*into = plan.Webhook.URL
		}
	}
	return a
}

// webSocket is the address of the gateway for WebSockets.
func webSocket(gateway string) string {
	if rest, ok := strings.CutPrefix(gateway, "https://"); ok {
		return "wss://" + rest
	}
	if rest, ok := strings.CutPrefix(gateway, "http://"); ok {
		return "ws://" + rest
	}
	return gateway
}

// Endpoints returns the URLs of the bot's endpoints as workers know them: without query.
func (a Addresses) Endpoints() []string {
	var urls []string
	add := func(address string) {
		if known, _, _ := strings.Cut(address, "?"); known != "" && !slices.Contains(urls, known) {
			urls = append(urls, known)
		}
	}
	for _, s := range a.Steps {
		add(s.URL)
	}
	for _, d := range a.Adapters {
		add(d.MessageURL)
		add(d.HandoverURL)
		add(d.EventsURL)
	}
	return urls
}
