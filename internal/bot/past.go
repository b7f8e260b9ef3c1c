package bot

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hookturn/hookturn/internal/secret"
	"github.com/hookturn/hookturn/schemas"
)

// A running step keeps what it started with: its plan is in the workflow's history, and the Store keeps what the plan names,
// the secrets and scripts of earlier revisions of bot files, as long as such a step can live. The other bounds are for each
// tenant, so that one tenant's many changes do not displace what another one's steps need.
const (
	revisionsMax     = 1000
	revisionBytesMax = 64 << 20
	// keepAtLeast has room for the background queue of a step, keepAtMost for a call back.
	keepAtLeast = 24 * time.Hour
	keepAtMost  = 40 * 24 * time.Hour
)

// past is what bots had that are not in use any more, the oldest first.
type past []revision

// revision is one version of a bot file.
type revision struct {
	bot     schemas.BotID
	id      string
	secrets map[string][]secret.Value
	scripts map[string]string
	bytes   int
	until   time.Time
}

// keep remembers the bots that are not in use any more, and forgets what no step can need.
func (p *past) keep(before, after map[string]*Bot, now time.Time) {
	list := slices.DeleteFunc(*p, func(r revision) bool { return now.After(r.until) })
	for file, b := range before {
		if next := after[file]; next != nil && next.revision == b.revision && next.id.Tenant == b.id.Tenant &&
			sameScripts(next, b) {
			continue
		}
		key := b.id
		list = append(list, revision{
			bot: key, id: b.revision, secrets: b.secrets, scripts: b.scripts, bytes: b.bytes(), until: now.Add(b.stepLife()),
		})
	}
	*p = bound(list)
}

// bound drops the oldest revisions of tenants that have too many.
func bound(list []revision) []revision {
	type total struct{ revisions, bytes int }
	totals := map[string]total{}
	kept := make([]revision, 0, len(list))
	for _, r := range slices.Backward(list) {
		t := totals[r.bot.Tenant]
		t.revisions, t.bytes = t.revisions+1, t.bytes+r.bytes
		if totals[r.bot.Tenant] = t; t.revisions <= revisionsMax && t.bytes <= revisionBytesMax {
			kept = append(kept, r)
		}
	}
	slices.Reverse(kept)
	return kept
}

func sameScripts(a, b *Bot) bool {
	for id := range b.scripts {
		if _, ok := a.scripts[id]; !ok {
			return false
		}
	}
	return true
}

// bytes is what a revision of the bot takes, about.
func (b *Bot) bytes() int {
	n := 1 << 10
	for _, values := range b.secrets {
		for _, value := range values {
			n += len(value.Reveal())
		}
	}
	for _, text := range b.scripts {
		n += len(text)
	}
	return n
}

// stepLife is how long after a change of its file a step of the bot can live: it may wait for entities, then for its
// endpoint.
func (b *Bot) stepLife() time.Duration {
	var longest time.Duration
	for _, plan := range b.plans {
		if plan.Webhook != nil {
			longest = max(longest, plan.Webhook.Timeout.D())
		}
	}
	return min(max(keepAtLeast, 2*b.idleTimeout+longest), keepAtMost)
}

// secrets returns the values of a secret of an earlier revision, none when it is not kept.
func (p past) secrets(key schemas.BotID, id, name string) []secret.Value {
	for _, r := range slices.Backward(p) {
		if r.bot == key && r.id == id {
			return r.secrets[name]
		}
	}
	return nil
}

// scripts is an index of all scripts by their fingerprints: those of a Set and those of earlier revisions.
func (p past) scripts(set *Set) map[string]string {
	texts := map[string]string{}
	for _, r := range p {
		maps.Copy(texts, r.scripts)
	}
	for _, b := range set.bots {
		maps.Copy(texts, b.scripts)
	}
	return texts
}

// Secrets returns all valid values of a secret, newest first, as of a revision of the bot file. For an unknown
// revision (from before the start of the process, or not loaded yet) it uses the current bot. The error names what is
// missing. It is temporary: the process may load the file later.
func (s *Store) Secrets(id schemas.BotID, revision, secretName string) ([]secret.Value, error) {
	b, inUse := s.Current().Bot(id)
	if !inUse || b.revision != revision {
		s.mu.Lock()
		values := s.past.secrets(id, revision, secretName)
		s.mu.Unlock()
		if len(values) > 0 {
			return slices.Clone(values), nil
		}
	}
	if !inUse {
		return nil, fmt.Errorf("no bot file for %s/%s on this worker: its secrets are unknown", id.Tenant, id.Bot)
	}
	values, ok := b.Secrets(secretName)
	if !ok || len(values) == 0 {
		return nil, fmt.Errorf("secret %q not found in this worker's bot file: check that its bot files are up to date",
			secretName)
	}
	return values, nil
}

// Script returns the text of a script by its fingerprint, as Code has it: one of the Set in use, or of an earlier revision.
func (s *Store) Script(id string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, ok := s.scripts[id]
	return text, ok
}

// Latest returns the text that the script of an earlier plan has in the Set in use, false when the step, or the script of
// channels, has another file now or does not exist.
func (s *Store) Latest(earlier Plan) (string, bool) {
	b, ok := s.Current().Bot(earlier.BotID)
	if !ok {
		return "", false
	}
	planOf := b.Plan
	if earlier.Dialect == DialectChannel {
		planOf = b.ScriptPlan
	}
	plan, err := planOf(earlier.Step)
	if err != nil || plan.Code == nil || plan.Code.File != earlier.Code.File {
		return "", false
	}
	return s.Script(plan.Code.Script)
}
