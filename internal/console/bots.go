package console

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/internal/pause"
	"github.com/hookturn/hookturn/schemas"
)

func botLink(id schemas.BotID) string { return link("/bot", ownedBy(id)...) }

// botRow is a bot of the bot files, or one that an operator has paused.
type botRow struct {
	schemas.BotID

	steps  string
	paused pause.Shown
}

// bots lists the bots of the bot files, with what "starter bots list" prints of those that are paused.
func (c *Console) bots(w http.ResponseWriter, r *http.Request, v *visitor) error {
	asked, err := ownedPageOf(r.URL.Query())
	if err != nil {
		return err
	}
	paused, err := c.pauses(r.Context(), pause.Bots)
	if err != nil {
		return err
	}
	shown, next := pageOf(r, asked, botRows(c.Bots.Current(), paused), func(b botRow) schemas.BotID { return b.BotID })
	l := list{Filters: ownerInputs(r.URL.Query()), Next: next}
	l.Table = table{
		Head: []string{headTenant, headBot, "Steps", "State", "Until", "By", "Reason", ""}, Empty: "No bots match.",
	}
	for _, b := range shown {
		row := texts(b.Tenant, b.Bot, b.steps, cmp.Or(b.paused.State, "-"), moment(b.paused.Until), cmp.Or(b.paused.By, "-"),
			b.paused.Reason)
		if b.steps != "" {
			row[1].Href = botLink(b.BotID)
		}
		action, verb := schemas.AuditBotPause, "pause"
		if b.paused.State != "" {
			action, verb = schemas.AuditBotResume, "resume"
		}
		l.Table.Rows = append(l.Table.Rows, append(row, c.offer(v, action, verb, ownedBy(b.BotID)...)))
	}
	bad, _ := bounded(c.Bots.Status().Problems, 0)
	for _, p := range bad {
		l.Notes = append(l.Notes, "Bot file "+cut(p.String(), textMax))
	}
	return c.render(w, http.StatusOK, "list", v, "Bots", l)
}

// botRows returns the bots of the bot files and those that are paused, by tenant and name.
func botRows(set *bot.Set, paused []pause.Shown) []botRow {
	byID := map[schemas.BotID]botRow{}
	for _, b := range set.Bots() {
		byID[b.ID()] = botRow{BotID: b.ID(), steps: strconv.Itoa(len(b.Steps()))}
	}
	for _, p := range paused {
		row := byID[p.BotID]
		row.BotID, row.paused = p.BotID, p
		byID[p.BotID] = row
	}
	rows := make([]botRow, 0, len(byID))
	for _, row := range byID {
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b botRow) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Bot, b.Bot))
	})
	return rows
}

// botPage is what a page shows of one bot.
type botPage struct {
	Links                     []cell
	Steps, Adapters, Channels table
}

// bot shows the addresses of a bot as "starter bots show" prints them, without queries.
func (c *Console) bot(w http.ResponseWriter, r *http.Request, v *visitor) error {
	id, err := oneBot(r.URL.Query())
	if err != nil {
		return err
	}
	b, ok := c.Bots.Current().Bot(id)
	if !ok {
		return httpapi.Reject(http.StatusNotFound, "", "no valid bot file of bot "+id.Bot+" of tenant "+id.Tenant)
	}
	a := bot.AddressesOf(b, strings.TrimSuffix(c.Gateway, "/"))
	p := botPage{
		Links: []cell{
			{Text: "Its conversations", Href: link("/conversations", ownedBy(id)...)},
			c.offer(v, schemas.AuditBotPause, "Pause this bot", ownedBy(id)...),
			c.offer(v, schemas.AuditBotResume, "Resume this bot", ownedBy(id)...),
		},
		Steps:    table{Head: []string{"Step", "Dialect", "Endpoint", ""}, Empty: "The bot does not have steps."},
		Adapters: table{Head: []string{"Adapter", "Address", "URL", ""}, Empty: "The bot does not have adapters."},
		Channels: table{Head: []string{"Channel", "Address", "URL"}, Empty: "The bot does not have channels."},
	}
	p.Links = slices.DeleteFunc(p.Links, func(one cell) bool { return one.Href == "" })
	c.addressRows(v, id, a, &p)
	return c.render(w, http.StatusOK, "bot", v, "Bot "+id.Bot+" of tenant "+id.Tenant, p)
}

// addressRows fills the tables of a bot's page.
func (c *Console) addressRows(v *visitor, id schemas.BotID, a bot.Addresses, p *botPage) {
	endpoint := func(row []cell, address string) []cell {
		known := withoutQuery(address)
		if known == "" {
			return append(row, cell{})
		}
		return append(row, c.offer(v, schemas.AuditEndpointPause, "pause", ownedBy(id, "url", known)...))
	}
	steps, _ := bounded(a.Steps, 0)
	for _, s := range steps {
		p.Steps.Rows = append(p.Steps.Rows,
			endpoint(texts(s.Step, s.Dialect, cmp.Or(withoutQuery(s.URL), "code")), s.URL))
	}
	adapters, _ := bounded(a.Adapters, 0)
	for _, d := range adapters {
		p.Adapters.Rows = append(p.Adapters.Rows,
			append(texts(d.Adapter, "outbound", cmp.Or(d.OutboundURL, "closed: no product_token")), cell{}))
		for _, to := range [][2]string{{"message", d.MessageURL}, {"handover", d.HandoverURL}, {"events", d.EventsURL}} {
			if to[1] != "" {
				p.Adapters.Rows = append(p.Adapters.Rows, endpoint(texts(d.Adapter, to[0], withoutQuery(to[1])), to[1]))
			}
		}
	}
	channels, _ := bounded(a.Channels, 0)
	for _, ch := range channels {
		for _, at := range [][2]string{{"http", ch.HTTP}, {"websocket", ch.WebSocket}, {"far end", withoutQuery(ch.FarEnd)}} {
			if at[1] != "" {
				p.Channels.Rows = append(p.Channels.Rows, texts(ch.Channel, at[0], at[1]))
			}
		}
	}
}

// withoutQuery returns an address as workers and logs have it: a query may hold a token.
func withoutQuery(address string) string {
	known, _, _ := strings.Cut(address, "?")
	return known
}
