package channel

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/schemas"
)

// Places in which a channel can be defined.
const (
	OriginAdmin = "admin"
	OriginFile  = "bot_file"
)

// Entry is a channel as the admin API shows it.
type Entry struct {
	Stored

	Origin  string       // OriginAdmin or OriginFile
	Served  *bot.Channel // nil = it is not served
	Problem error        // why it is not served
}

// List returns all channels by tenant and bot: those of bot files in the order of the file, then those of the admin API by
// id.
func (a *Administration) List() []Entry {
	var all []Entry
	for _, b := range a.bots.Current().Bots() {
		for _, ch := range b.Channels() {
			all = append(all, entryOfFile(b, ch))
		}
	}
	found := a.index()
	a.mu.Lock()
	for _, key := range slices.Sorted(maps.Keys(a.stored)) {
		all = append(all, found.entry(a.stored[key], key))
	}
	a.mu.Unlock()
	slices.SortStableFunc(all, func(x, y Entry) int {
		return cmp.Or(cmp.Compare(x.Tenant, y.Tenant), cmp.Compare(x.Bot, y.Bot))
	})
	return all
}

// Get returns the channel of an id. Bot files of several tenants may have one id: the first tenant's is returned.
func (a *Administration) Get(id string) (Entry, error) {
	id = bot.CanonicalID(id)
	found := a.index()
	a.mu.Lock()
	s, ok := a.stored[KeyOf(id)]
	a.mu.Unlock()
	if ok {
		return found.entry(s, KeyOf(id)), nil
	}
	return first(a.List(), func(e Entry) bool { return e.ID == id })
}

// LookUp returns the channel of a bot that has a code. When two have it, it is the one that is served.
func (a *Administration) LookUp(owner schemas.BotID, code string) (Entry, error) {
	return first(a.List(), func(e Entry) bool {
		return e.BotID == owner && e.Is().Code == code
	})
}

func (x *index) entry(s Stored, key string) Entry {
	return Entry{Stored: s, Origin: OriginAdmin, Served: x.byID[s.ID], Problem: x.problems[key]}
}

func first(entries []Entry, wanted func(Entry) bool) (Entry, error) {
	at := slices.IndexFunc(entries, wanted)
	if at < 0 {
		return Entry{}, ErrNotFound
	}
	return entries[at], nil
}

// entryOfFile is a channel of a bot file. Its times are those of the file.
func entryOfFile(b *bot.Bot, ch *bot.Channel) Entry {
	return Entry{Origin: OriginFile, Served: ch, Stored: Stored{
		BotID: ch.BotID, ID: ch.ID, Created: b.Modified(), Modified: b.Modified(),
	}}
}

// Is returns the channel as it is served; of one that is not, what can be read of it.
func (e Entry) Is() *bot.Channel {
	if e.Served != nil {
		return e.Served
	}
	ch := &bot.Channel{}
	_ = json.Unmarshal(e.Channel, ch) // members that cannot be read are left out
	ch.BotID, ch.ID = e.BotID, e.ID
	return ch
}

// clean returns a channel as it is kept: without members that are null or "", which count as absent, and without those that
// the admin API adds.
func clean(object json.RawMessage) json.RawMessage {
	var members map[string]json.RawMessage
	if json.Unmarshal(object, &members) != nil {
		return object
	}
	for _, added := range []string{"tenant", "bot", "origin", "problem"} {
		delete(members, added)
	}
	dropBlank(members, `""`, "null")
	for name, blanks := range map[string][]string{"opts": {`""`, "null"}, "ext": {"null"}} {
		var inner map[string]json.RawMessage
		if members[name] == nil || json.Unmarshal(members[name], &inner) != nil {
			continue
		}
		if dropBlank(inner, blanks...); name == "ext" {
			delete(inner, "ct")
			delete(inner, "lwt")
		}
		if text, err := schemas.Marshal(inner); err == nil {
			members[name] = text
		}
	}
	text, err := schemas.Marshal(members)
	if err != nil {
		return object
	}
	return text
}

func dropBlank(members map[string]json.RawMessage, blanks ...string) {
	maps.DeleteFunc(members, func(_ string, value json.RawMessage) bool { return slices.Contains(blanks, string(value)) })
}
