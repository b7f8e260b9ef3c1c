package bot

import (
	"cmp"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hookturn/hookturn/schemas"
)

// loaded is the outcome of one load: what each file means, and the Set that follows.
type loaded struct {
	set      *Set
	problems Problems
	warnings Problems
	bad      map[string]bool // names of files that are bad
	bots     map[string]*Bot // the bots in use, by their file
	dirs     []string        // whose changes matter, with their bot files
	watch    map[string]bool // paths of secrets and scripts

	claims      []claim
	previous    map[string]*Bot
	ofDirectory map[string][]string // files of previous, by the directories of tenants; nil until one is needed
}

// claim is one file that wants its bot to be served: as it is written now, else as it was when it was last good.
type claim struct {
	file   string
	tenant string // of the directory in which the file stands; "" = the operator's
	bots   []*Bot // candidates, the best first
}

func newLoaded(dir, secretsDir string, previous map[string]*Bot) *loaded {
	l := &loaded{
		bad: map[string]bool{}, bots: map[string]*Bot{}, watch: map[string]bool{}, previous: previous,
		// The parent sees the directory itself being replaced, as a release that moves a symlink does.
		dirs: []string{dir, filepath.Dir(dir)},
	}
	if secretsDir != "" {
		l.dirs = append(l.dirs, secretsDir)
	}
	return l
}

// add takes what the files of a unit mean.
func (l *loaded) add(u unit, results []result) {
	if u.home.tenant != "" {
		l.dirs = append(l.dirs, u.home.path)
	}
	for _, r := range results {
		l.problems, l.warnings = append(l.problems, r.problems...), append(l.warnings, r.warnings...)
		for _, path := range r.watch {
			l.watch[path] = true
		}
		c := claim{file: r.file, tenant: u.home.tenant}
		if r.bot != nil {
			c.bots = append(c.bots, r.bot)
		} else {
			l.bad[r.file] = true
		}
		if last := l.previous[r.file]; last != nil {
			c.bots = append(c.bots, last)
		}
		l.claims = append(l.claims, c)
	}
	if u.err != nil {
		l.addUnread(u)
	}
}

// addUnread keeps the bots of a tenant's directory that cannot be read now.
func (l *loaded) addUnread(u unit) {
	l.problems = append(l.problems, Problem{File: u.name, Message: u.err.Error()})
	l.bad[u.name] = true
	if l.ofDirectory == nil {
		l.ofDirectory = map[string][]string{}
		for file := range l.previous {
			directory, _, _ := strings.Cut(file, "/")
			l.ofDirectory[directory] = append(l.ofDirectory[directory], file)
		}
	}
	for _, file := range l.ofDirectory[u.name] {
		if file != u.name {
			l.claims = append(l.claims, claim{file: file, tenant: u.home.tenant, bots: []*Bot{l.previous[file]}})
		}
	}
}

// finish decides which bots are served. The order of files is such that none of a tenant's files decides about another
// tenant's: files in a tenant's directory come before the operator's, because only the tenant can write them, and what
// tenants share is divided between them (see clash.go).
func (l *loaded) finish(licences map[string]int) {
	slices.SortFunc(l.claims, func(a, b claim) int {
		return cmp.Or(cmp.Compare(order(a), order(b)), cmp.Compare(a.file, b.file))
	})
	l.set = newSet()
	served := newServed(licences, l.claims)
	for _, c := range l.claims {
		l.serve(c, served)
	}
	l.set.tokens, l.set.digest = served.channelsByToken(), digestOf(l.set.bots)
	l.warnings = append(l.warnings, served.contested()...)
	for path := range l.watch {
		l.dirs = append(l.dirs, filepath.Dir(path))
	}
	slices.Sort(l.dirs)
	l.dirs = slices.Compact(l.dirs)
}

func order(c claim) int {
	if c.tenant != "" {
		return 0
	}
	return 1
}

// serve takes the first candidate of a file that may be served beside those that are. The problems of the file as it is
// written now are reported; an older candidate that does not fit any more is left out.
func (l *loaded) serve(c claim, served *served) {
	for _, b := range c.bots {
		problems := served.fits(c, b)
		if len(problems) == 0 {
			served.take(c, b)
			l.bots[c.file], l.set.bots[b.id] = b, b
			return
		}
		if !l.bad[c.file] {
			l.bad[c.file] = true
			l.problems = append(l.problems, problems...)
		}
	}
	l.set.bad[c.named()] = c.file
}

// named is the bot that a file is for by its name: one that cannot be read does not name another.
func (c claim) named() schemas.BotID {
	name := filepath.Base(c.file)
	return schemas.BotID{Tenant: cmp.Or(c.tenant, newFile().Tenant), Bot: strings.TrimSuffix(name, filepath.Ext(name))}
}

// badFiles lists the files that are bad, sorted.
func (l *loaded) badFiles() []string {
	return slices.Sorted(maps.Keys(l.bad))
}
