package dialect

import (
	"maps"
	"slices"
	"strings"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/nearest"
)

// Set holds the dialects that a process speaks, by name. It does not change after New and may be shared freely.
type Set struct{ byName map[string]Dialect }

// New returns a new set of the dialects. Two of one name are a mistake in the wiring of the process, so New panics on them.
func New(dialects ...Dialect) Set {
	set := Set{byName: make(map[string]Dialect, len(dialects))}
	for _, d := range dialects {
		name := d.Spec().Name
		if _, taken := set.byName[name]; taken {
			panic("dialect: two dialects are named " + name)
		}
		set.byName[name] = d
	}
	return set
}

// Get finds a dialect by its name. The error is a *fault.Fault of the kind config that lists the names that exist.
func (s Set) Get(name string) (Dialect, error) {
	if d, ok := s.byName[name]; ok {
		return d, nil
	}
	return nil, fault.New(fault.Config, "no dialect is named %q: use one of %s%s", name, strings.Join(s.Names(), ", "),
		nearest.Hint(name, s.Names()))
}

// Specs returns what bot files know of the dialects, in the order of their names.
func (s Set) Specs() []bot.Spec {
	specs := make([]bot.Spec, 0, len(s.byName))
	for _, name := range s.Names() {
		specs = append(specs, s.byName[name].Spec())
	}
	return specs
}

// Names lists the dialects of the set in alphabetical order.
func (s Set) Names() []string { return slices.Sorted(maps.Keys(s.byName)) }
