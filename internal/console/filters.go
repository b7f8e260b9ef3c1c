package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/internal/inspect"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// owner returns the tenant and the bot of a query; empty names choose all.
func owner(query url.Values) (schemas.BotID, error) {
	id := schemas.BotID{Tenant: query.Get("tenant"), Bot: query.Get("bot")}
	for _, name := range []string{id.Tenant, id.Bot} {
		if name != "" && !schemas.IsToken(name) {
			return id, invalid("tenant or bot", "[A-Za-z0-9_-]{1,64}")
		}
	}
	return id, nil
}

// ownedPage is what a query asks for of a list of bots or endpoints: whose rows, and from which one on.
type ownedPage struct {
	schemas.BotID // empty names choose all

	from int
}

func ownedPageOf(query url.Values) (p ownedPage, err error) {
	if p.BotID, err = owner(query); err != nil {
		return p, err
	}
	from, err := position(query, "from")
	p.from = int(min(from, 1<<30))
	return p, err
}

// pageOf returns the rows of a page, and the address of the page after it; "": there is none.
func pageOf[T any](r *http.Request, p ownedPage, rows []T, id func(T) schemas.BotID) (page []T, next string) {
	rows = slices.DeleteFunc(rows, func(row T) bool {
		is := id(row)
		return p.Tenant != "" && is.Tenant != p.Tenant || p.Bot != "" && is.Bot != p.Bot
	})
	page, more := bounded(rows, p.from)
	if more > 0 {
		next = nextOf(r, "from", strconv.Itoa(more))
	}
	return page, next
}

// oneBot returns the bot that a query names.
func oneBot(query url.Values) (schemas.BotID, error) {
	id, err := owner(query)
	if err == nil && !id.Valid() {
		err = invalid("tenant or bot", "[A-Za-z0-9_-]{1,64}")
	}
	return id, err
}

func invalid(name, expected string) error {
	return httpapi.Reject(http.StatusBadRequest, fault.BadEvent, "invalid "+name+": expected "+expected)
}

// since returns the time of a query from which on things are listed.
func since(query url.Values) (time.Time, error) {
	text := query.Get("since")
	if text == "" {
		return time.Time{}, nil
	}
	at, err := inspect.ParseTime(text, time.Now())
	if err != nil {
		return at, httpapi.Reject(http.StatusBadRequest, fault.BadEvent, "invalid since: "+err.Error())
	}
	return at, nil
}

// position returns a number of a query, 0 when it has none.
func position(query url.Values, name string) (uint64, error) {
	text := query.Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, invalid(name, "a number")
	}
	return n, nil
}

// input returns a field with the value of a query.
func input(query url.Values, name, label, hint string, options ...string) field {
	return field{Name: name, Label: label, Hint: hint, Value: query.Get(name), Options: options}
}

func ownerInputs(query url.Values) []field {
	return []field{input(query, "tenant", headTenant, ""), input(query, "bot", headBot, "")}
}

func sinceInput(query url.Values) field {
	return input(query, "since", "Since", "24h, or 2026-11-28T12:00:00Z")
}

// nextOf returns the address of the next page: the same query with another position.
func nextOf(r *http.Request, name, value string) string {
	query := r.URL.Query()
	query.Set(name, value)
	return r.URL.Path + "?" + query.Encode()
}

func outcomes() []string {
	all := []string{step.OutcomeWaiting, step.OutcomeCallback}
	for _, o := range schemas.Outcomes() {
		all = append(all, string(o))
	}
	return all
}

func kinds() []string {
	var all []string
	for _, kind := range fault.Kinds() {
		all = append(all, string(kind))
	}
	return all
}
