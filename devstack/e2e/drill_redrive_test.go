package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/invariants"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/permissions"
	"github.com/hookturn/hookturn/internal/redrive"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// The size of the drill, for each of two tenants.
const (
	redrivenConversations = 20
	brokenEach            = 5  // steps of a conversation that end in a bot break
	deadEach              = 25 // events of a conversation that become dead letters
	redrivenRate          = 50

	pollInterval = 20 * time.Millisecond
)

// The endpoint of the drill: what it was, and where it is after the repair.
const (
	brokenPath   = "/orders"
	repairedPath = "/v2/orders"
)

const redriveBot = `bot: shop
tenant: $TENANT
base_urls: {test: "$ENDPOINT"}
bot_break: {default: "Sorry."}
steps:
  ORDER: {webhook: {path: $PATH, headers: {` + invariants.OwnerHeader + `: $TENANT}, limits: {trip_after: 1000}, $LONG}}
`

// redriveDrill is two tenants whose bots, conversations and events have equal names.
type redriveDrill struct {
	*drill
	tools *transcript

	mu        sync.Mutex
	published []time.Time // when the tools published events
	again     int         // of them, those that they published again because a kill left it open whether they were stored
}

func newRedriveDrill(t *testing.T) *redriveDrill {
	t.Helper()
	r := &redriveDrill{drill: newDrill(t, 0, drillOptions{})}
	r.samples.Handle(brokenPath, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	r.samples.Handle(repairedPath, ok)
	require.NoError(t, os.RemoveAll(r.bots))
	r.writeBots(t, brokenPath)
	for _, tenant := range tenants {
		for n := range redrivenConversations {
			r.keys = append(r.keys, schemas.BotID{Tenant: tenant, Bot: "shop"}.WithConversation(fmt.Sprintf("c-%d", n)))
		}
	}
	r.tools = newTranscript(t, "nats://"+r.natsAddr, r.temporalAddr, permissions.Tools)
	return r
}

// writeBots writes the bot file of each tenant, or deletes them when the path is empty.
func (r *redriveDrill) writeBots(t *testing.T, path string) {
	t.Helper()
	for _, tenant := range tenants {
		file := filepath.Join(r.bots, tenant, "shop.yaml")
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
		if path == "" {
			require.NoError(t, os.Remove(file))
			continue
		}
		text := strings.NewReplacer("$TENANT", tenant, "$ENDPOINT", r.samples.URL(), "$PATH", path, "$LONG", long).Replace(redriveBot)
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	}
}

// release restarts the starters with other bot files.
func (r *redriveDrill) release(t *testing.T, path string) {
	t.Helper()
	for _, p := range r.starters {
		p.stop(t)
	}
	r.writeBots(t, path)
	for i := range r.starters {
		r.starters[i] = r.launch(t, "starter")
	}
	awaitReady(t, r.starters...)
}

// ask requests the steps first to last of each conversation, and waits for their replies.
func (r *redriveDrill) ask(t *testing.T, first, last int) {
	t.Helper()
	var group sync.WaitGroup
	for _, key := range r.keys {
		group.Go(func() {
			for n := first; n < last; n++ {
				e := invariants.Event{ConversationKey: key, ID: fmt.Sprintf("event-%d", n), Redriven: true}
				r.send(t, e, schemas.TypeStepRequested, fmt.Sprintf(`{"step":"ORDER","user":{"id":"91","name":%q}}`,
					invariants.Mark(e.Tenant)+" "+invariants.EventMark(e)))
			}
		})
	}
	group.Wait()
	r.waitAll(t)
}

// askBadly sends one event of each conversation that no release of the bot files makes valid.
func (r *redriveDrill) askBadly(t *testing.T) {
	t.Helper()
	for _, key := range r.keys {
		r.send(t, invariants.Event{ConversationKey: key, ID: "bad"}, schemas.TypeStepRequested, `{"step":7}`)
	}
	r.waitAll(t)
}

// watch notes when the tools publish events.
func (r *redriveDrill) watch(t *testing.T) {
	t.Helper()
	watching, err := r.js.Conn().Subscribe("hookturn.events.>", func(m *nats.Msg) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.published = append(r.published, time.Now())
		if m.Header.Get(schemas.HeaderAgain) != "" {
			r.again++
		}
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = watching.Unsubscribe() })
	require.NoError(t, r.js.Conn().Flush())
}

// busiest returns how many events the tools have published in their busiest second.
func (r *redriveDrill) busiest() (most int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, from := range r.published {
		n, _ := slices.BinarySearchFunc(r.published[i:], from.Add(time.Second), time.Time.Compare)
		most = max(most, n)
	}
	return most
}

// outcomes counts the late answers of a tenant.
func (r *redriveDrill) outcomes(tenant string) (n int) {
	for _, reply := range r.engine.all() {
		if reply.Type == schemas.TypeStepLate && strings.HasPrefix(reply.Source, "/hookturn/"+tenant+"/") {
			n++
		}
	}
	return n
}

func (r *redriveDrill) awaitOutcomes(t *testing.T, tenant string, n int) {
	t.Helper()
	require.NoError(t, r.engine.await(func() bool { return r.outcomes(tenant) >= n }), "%d outcomes of %s", r.outcomes(tenant), tenant)
}

// state is what there is of a tenant: nothing of it may change while another tenant's events are redriven.
type state struct {
	letters            []uint64
	requests, outcomes int // requests without those that were repeated
}

func (r *redriveDrill) stateOf(t *testing.T, tenant string) state {
	t.Helper()
	letters := bus.NewDeadLetters(r.engine.operator, streamsOf(t, r.engine.operator))
	var list []bus.DeadLetter
	retried(t, func(ctx context.Context) (err error) {
		list, err = letters.List(ctx, bus.DeadLetterFilter{BotID: schemas.BotID{Tenant: tenant}, Limit: 10_000})
		return err
	})
	s := state{outcomes: r.outcomes(tenant)}
	for _, l := range list {
		s.letters = append(s.letters, l.Sequence)
	}
	s.requests = distinct(r.samples.Ledger().Select(func(request endpoint.Entry) bool {
		return request.Header.Get(invariants.OwnerHeader) == tenant
	}))
	return s
}

// lastEvent returns the sequence of the latest event that JetStream has accepted.
func (r *redriveDrill) lastEvent(t *testing.T) uint64 {
	t.Helper()
	var last uint64
	retried(t, func(ctx context.Context) (err error) {
		last, err = lastStored(ctx, r.js)
		return err
	})
	return last
}

// refused checks that nothing is done without a confirmation, or by a filter that selects nothing.
func (r *redriveDrill) refused(t *testing.T) {
	t.Helper()
	r.tools.note("nothing is done without a confirmation, and a filter that selects nothing ends with 3")
	for _, c := range []struct {
		status int
		args   []string
	}{
		{4, []string{"deadletters", "replay", "--tenant", "acme"}},
		{4, []string{"steps", "repeat", "--tenant", "acme"}},
		{3, []string{"deadletters", "replay", "--tenant", "acme", "--bot", "mall", "--yes"}},
		{3, []string{"steps", "repeat", "--kind", "timeout", "--yes"}},
	} {
		out, status := r.tools.run(t, c.args...)
		require.Equal(t, c.status, status, "%v: %s", c.args, out)
	}
}

// count runs a dry run and returns its counts.
func (r *redriveDrill) count(t *testing.T, args ...string) (c redrive.Count) {
	t.Helper()
	_, status := r.tools.run(t, append(args, "--dry-run")...)
	require.Zero(t, status)
	out, status := r.tools.read(t, append(args, "--dry-run", "--output", "json")...)
	require.Zero(t, status)
	require.NoError(t, json.Unmarshal([]byte(out), &c), "%s", out)
	return c
}

// progress returns how far a redrive has come, as the tools have stored it.
func (r *redriveDrill) progress(t *testing.T, filter string) (p redrive.Progress) {
	t.Helper()
	redrives, found := store.NewRedrives(streamsOf(t, r.js)), false
	retried(t, func(ctx context.Context) (err error) {
		found, err = redrives.Get(ctx, filter, &p)
		return err
	})
	require.True(t, found, "no progress of %q", filter)
	return p
}

// redrive redrives n events of a tenant. The first tenant's redrive is killed in the middle.
func (r *redriveDrill) redrive(t *testing.T, tenant string, n int, args ...string) {
	t.Helper()
	before := r.outcomes(tenant)
	args = append(args, "--tenant", tenant, "--yes", "--rate")
	kill := tenant == tenants[0]
	if kill { // 20 s of work, so that it does not end first
		first := r.lastEvent(t)
		inTheMiddle := func() bool {
			last, err := lastStored(t.Context(), r.js)
			return err == nil && last >= first+uint64(n/10)
		}
		r.tools.killed(t, inTheMiddle, append(slices.Clip(args), fmt.Sprint(n/20))...)
	}
	out, status := r.tools.run(t, append(args, fmt.Sprint(redrivenRate))...)
	require.Zero(t, status, "%s", out)
	p := r.progress(t, fmt.Sprintf("%s %s=%s tenant=%s", args[0], strings.TrimPrefix(args[2], "--"), args[3], tenant))
	require.Equal(t, []bool{kill, true}, []bool{p.Resumed, p.Finished}, "%+v", p)
	require.Equal(t, n, redrive.Total(p.Done), "each is counted once: %+v", p)
	require.Empty(t, p.LeftOut)
	// The other direction needs no fast machine: so many events cannot take less time at this rate.
	require.GreaterOrEqual(t, p.Updated.Sub(p.Started), time.Duration(n-1)*time.Second/redrivenRate, "%s", out)
	r.awaitOutcomes(t, tenant, before+n)
}

// TestDrill_Redrive lets an endpoint break and bot files vanish, so that two tenants have 200 bot breaks and 1,000 dead
// letters, repairs both, and redrives all with kills in the middle.
func TestDrill_Redrive(t *testing.T) {
	r := newRedriveDrill(t)
	r.start(t)
	stop := r.follow(t)
	r.ask(t, 0, brokenEach)
	r.askBadly(t)
	r.release(t, "")
	r.ask(t, brokenEach, brokenEach+deadEach)
	r.release(t, repairedPath)
	stop()

	const broken, dead = redrivenConversations * brokenEach, redrivenConversations * deadEach
	acme, zeta := tenants[0], tenants[1]
	first, last := map[string]state{acme: r.stateOf(t, acme), zeta: r.stateOf(t, zeta)}, r.lastEvent(t)
	for _, s := range first {
		require.Len(t, s.letters, dead+redrivenConversations)
		require.Equal(t, broken, s.requests)
	}
	r.watch(t)
	r.refused(t)
	require.Equal(t, map[string]int{"status": broken}, r.count(t, "steps", "repeat", "--tenant", acme).ByReason)
	letters := r.count(t, "deadletters", "replay", "--tenant", acme)
	require.Equal(t, map[string]int{"unknown_bot": dead}, letters.ByReason)
	require.Equal(t, map[string]int{redrive.LeftKnown: redrivenConversations}, letters.LeftOut, "their conversations rejected them")
	for tenant, before := range first {
		require.Equal(t, before, r.stateOf(t, tenant), "nothing was done yet")
	}

	r.tools.note("the steps of acme, then its dead letters; nothing of zeta may change")
	r.redrive(t, acme, broken, "steps", "repeat", "--kind", "status")
	r.redrive(t, acme, dead, "deadletters", "replay", "--reason", "unknown_bot")
	require.Equal(t, first[zeta], r.stateOf(t, zeta), "nothing of the other tenant was touched")
	r.tools.note("the same for zeta, without a kill")
	acmeAfter := r.stateOf(t, acme)
	r.redrive(t, zeta, broken, "steps", "repeat", "--kind", "status")
	r.redrive(t, zeta, dead, "deadletters", "replay", "--reason", "unknown_bot")
	require.Equal(t, acmeAfter, r.stateOf(t, acme), "nothing of the other tenant was touched")

	r.checkAll(t, last)
	r.audited(t)
}

// checkAll checks what came of all events.
func (r *redriveDrill) checkAll(t *testing.T, last uint64) {
	t.Helper()
	const all = 2 * redrivenConversations * (brokenEach + deadEach)
	r.mu.Lock()
	again := r.again
	r.mu.Unlock()
	require.LessOrEqual(t, again, 2, "the event in hand at each of the two kills")
	require.EqualValues(t, all+again, r.lastEvent(t)-last, "JetStream accepted each other event once, kills or not")
	asked := r.samples.Ledger().ByPath(brokenPath)
	const atFirst = 2 * redrivenConversations * brokenEach
	require.Equal(t, atFirst, distinct(asked))
	require.LessOrEqual(t, len(asked), atFirst+r.duplicatesMax(atFirst), "the broken endpoint is not asked any more")
	recorded := invariants.Traffic{
		Sent: r.sent, Replies: r.engine.all(), DeadLetters: r.engine.deadLetters(t), Requests: r.samples.Ledger().ByPath(repairedPath),
	}
	totals, problems := recorded.Check()
	require.Empty(t, problems[:min(len(problems), 20)], "%d problems", len(problems))
	require.Equal(t, []int{all, all + 2*redrivenConversations}, []int{totals.Late, totals.Replies})
	require.LessOrEqual(t, totals.Duplicates, r.duplicatesMax(totals.Events), "%v", totals.Doubled)
	ids := map[string]int{}
	for _, request := range recorded.Requests {
		ids[request.WebhookID]++
	}
	require.Len(t, ids, brokenEach+deadEach, "the endpoint receives the webhook-id of the event that asked: %v",
		slices.Sorted(maps.Keys(ids)))
	for n := range brokenEach + deadEach {
		require.GreaterOrEqual(t, ids[fmt.Sprintf("event-%d", n)], len(r.keys))
	}
	r.tools.note("checker: %s; 0 problems", totals)
	r.tools.note("at most %d events were published in any second", r.busiest())
	for _, args := range [][]string{{"steps", "list"}, {"deadletters", "list", "--reason", string(fault.UnknownBot)}} {
		_, status := r.tools.run(t, args...)
		require.Equal(t, 3, status, "what was repaired is not listed")
	}
}

// audited checks that each action has its audit events, and that a dry run and a refused one have none.
func (r *redriveDrill) audited(t *testing.T) {
	t.Helper()
	r.tools.run(t, "audit", "--actor", "ann")
	out, status := r.tools.read(t, "audit", "--actor", "ann", "--output", "json")
	require.Zero(t, status)
	var list []schemas.AuditEvent
	require.NoError(t, json.Unmarshal([]byte(out), &list))
	var got []string
	for _, e := range list {
		require.Equal(t, permissions.Tools, e.Data.Actor.NATSUser)
		got = append(got, fmt.Sprintln(e.Data.Action, e.Data.Tenant, e.Data.Result, e.Data.Counts))
	}
	var want []string
	for _, tenant := range tenants {
		for _, did := range []struct {
			action schemas.AuditAction
			counts map[string]int
		}{
			{schemas.AuditStepsRepeat, map[string]int{"status": redrivenConversations * brokenEach}},
			{schemas.AuditDeadLettersReplay, map[string]int{"unknown_bot": redrivenConversations * deadEach}},
		} {
			requested := fmt.Sprintln(did.action, tenant, schemas.AuditRequested, map[string]int(nil))
			if want = append(want, requested); tenant == tenants[0] {
				want = append(want, requested) // the first was killed
			}
			want = append(want, fmt.Sprintln(did.action, tenant, schemas.AuditDone, did.counts))
		}
	}
	require.Equal(t, want, got)
}
