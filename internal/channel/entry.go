package channel

import (
	"cmp"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

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

// Members returns the members of a JSON object by their exact names; of two with one name the last. It is nil for a text
// that is not an object.
func Members(object json.RawMessage) (members map[string]json.RawMessage) {
	if json.Unmarshal(object, &members) != nil {
		return nil
	}
	return members
}

// clean returns a channel as it is kept: without members that are null or "", which count as absent, and without those that
// the admin API adds. A member whose name a channel does not have stays, and is an error where the channel is read.
func clean(object json.RawMessage) json.RawMessage {
	members := Members(object)
	if members == nil {
		return object
	}
	for _, added := range []string{"tenant", "bot", "origin", "problem"} {
		delete(members, added)
	}
	dropBlank(members, namesOf[Shown]())
	for name, blank := range map[string]func(map[string]json.RawMessage){"opts": blankOpts, "ext": blankExt} {
		inner := Members(members[name])
		if inner == nil {
			continue
		}
		blank(inner)
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

func blankOpts(opts map[string]json.RawMessage) { dropBlank(opts, namesOf[ShownOpts]()) }

// blankExt removes what is null, under any name, and the times that the admin API adds.
func blankExt(ext map[string]json.RawMessage) {
	maps.DeleteFunc(ext, func(_ string, value json.RawMessage) bool { return string(value) == "null" })
	delete(ext, "ct")
	delete(ext, "lwt")
}

// dropBlank removes the members of some names that are null or "".
func dropBlank(members map[string]json.RawMessage, names []string) {
	for _, name := range names {
		if value := string(members[name]); value == `""` || value == "null" {
			delete(members, name)
		}
	}
}

// namesOf returns the names of the members of a struct.
func namesOf[T any]() (names []string) {
	for _, field := range reflect.VisibleFields(reflect.TypeFor[T]()) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" {
			names = append(names, name)
		}
	}
	return names
}
