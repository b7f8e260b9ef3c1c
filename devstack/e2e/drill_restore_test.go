package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/invariants"
	"github.com/hookturn/hookturn/schemas"
)

// restore is a drill in which servers are restored from a backup.
type restore struct {
	*drill

	nats, temporal, running bool // which servers are restored, and whether the programs run meanwhile
	yesterday               string
	read                    map[string][]schemas.Reply // what the engine has read before the restore, by event
}

// restoreBot is the bot of the drill.
func restoreBot() schemas.BotID { return schemas.BotID{Tenant: tenants[0], Bot: "shop"} }

func restoreEvent(conversation, id string) invariants.Event {
	return invariants.Event{ConversationKey: restoreBot().WithConversation(conversation), ID: id}
}

// request publishes a step.requested.
func (r *restore) request(t *testing.T, conversation, id, step string) {
	t.Helper()
	r.publish(t, restoreEvent(conversation, id), schemas.TypeStepRequested,
		fmt.Sprintf(`{"step":%q,"user":{"id":%q}}`, step, conversation))
}

// answer waits until an engine has read the reply to an event.
func (r *restore) answer(t *testing.T, e *engine, id string) schemas.StepReplied {
	t.Helper()
	var data schemas.StepReplied
	require.NoError(t, e.await(func() bool {
		for _, reply := range e.all() {
			if reply.Type == schemas.TypeStepReplied && json.Unmarshal(reply.Data, &data) == nil && data.EventID == id {
				return true
			}
		}
		return false
	}), "event %s is not answered", id)
	return data
}

// byEvent are the terminal replies, by event.
func byEvent(t *testing.T, all []schemas.Reply) map[string][]schemas.Reply {
	t.Helper()
	found := map[string][]schemas.Reply{}
	for _, reply := range all {
		var data schemas.StepReplied
		if reply.Type == schemas.TypeStepReplied {
			require.NoError(t, json.Unmarshal(reply.Data, &data))
			found[data.EventID] = append(found[data.EventID], reply)
		}
	}
	return found
}

func (r *restore) stopPrograms(t *testing.T) {
	t.Helper()
	for _, p := range append(r.starters, r.workers...) {
		p.stop(t)
	}
	r.starters, r.workers = nil, nil
}

func (r *restore) startPrograms(t *testing.T) {
	t.Helper()
	r.workers = append(r.workers, r.program(t, "worker"))
	r.starters = append(r.starters, r.program(t, "starter"))
}

func (r *restore) stopServers(t *testing.T) {
	t.Helper()
	r.drill.nats.stop(t)
	r.drill.temporal.stop(t)
}

func (r *restore) startServers(t *testing.T) {
	t.Helper()
	r.startNATS(t)
	r.startTemporal(t)
}

// today lets the engine do what happens after the backup: events in a conversation that is open, in one that waits for an
// entity, in one that closes, and in a new one.
func (r *restore) today(t *testing.T) {
	t.Helper()
	r.request(t, "open", "open-2", "MEMORY")
	r.publish(t, restoreEvent("waits", "waits-entities"), schemas.TypeEntitiesCollected, product)
	r.request(t, "closes", "closes-2", "LAST")
	r.request(t, "fresh", "fresh-1", "MEMORY")
	for _, id := range []string{"open-2", "waits-1", "closes-2", "fresh-1"} {
		require.Equal(t, schemas.OutcomeSuccess, r.answer(t, r.engine, id).Outcome, id)
	}
}

// run makes the backup, goes on, and restores it.
func (r *restore) run(t *testing.T) *engine {
	t.Helper()
	r.startPrograms(t)
	r.request(t, "open", "open-1", "MEMORY")
	r.request(t, "closes", "closes-1", "MEMORY")
	r.request(t, "waits", "waits-1", "NEEDS")
	require.NoError(t, r.engine.await(func() bool { return len(r.engine.all()) == 3 }))
	r.stopPrograms(t)
	r.request(t, "queued", "queued-1", "MEMORY") // is in the stream of the backup
	r.stopServers(t)
	for _, name := range []string{"nats", "temporal"} {
		require.NoError(t, os.CopyFS(filepath.Join(r.yesterday, name), os.DirFS(filepath.Join(r.dir, name))))
	}
	r.startServers(t)
	r.startPrograms(t)
	require.Equal(t, schemas.OutcomeSuccess, r.answer(t, r.engine, "queued-1").Outcome)
	r.today(t)
	r.read = byEvent(t, r.engine.all())
	if !r.running {
		r.stopPrograms(t)
	}
	r.stopServers(t)
	for name, back := range map[string]bool{"nats": r.nats, "temporal": r.temporal} {
		if back {
			require.NoError(t, os.RemoveAll(filepath.Join(r.dir, name)))
			require.NoError(t, os.CopyFS(filepath.Join(r.dir, name), os.DirFS(filepath.Join(r.yesterday, name))))
		}
	}
	r.startServers(t)
	if !r.running {
		r.startPrograms(t)
	}
	return newEngine(t, "nats://"+r.natsAddr)
}

// TestDrill_RestoredFromYesterday restores NATS, Temporal or both from a backup, by the steps of docs/operations/backup.md,
// and with the programs running all the time. Afterwards each conversation answers its next event, and an engine that
// ignores ids that it has read has one reply for each event, whatever it publishes again. The numbers are those of the page.
func TestDrill_RestoredFromYesterday(t *testing.T) {
	for name, c := range map[string]struct {
		restore

		kept     int // of seven replies, after the next event of each conversation
		requests int // for these five events, at most: the event of the stream may be handled before them
		again    int // of seven replies, after the engine has published its events once more
	}{
		"NATS":                       {restore{nats: true}, 3, 5, 7},
		"Temporal":                   {restore{temporal: true}, 7, 5, 7},
		"both":                       {restore{nats: true, temporal: true}, 4, 6, 7},
		"NATS, programs running":     {restore{nats: true, running: true}, 3, 5, 7},
		"Temporal, programs running": {restore{temporal: true, running: true}, 7, 5, 7},
		"both, programs running":     {restore{nats: true, temporal: true, running: true}, 4, 6, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := &c.restore
			r.drill, r.yesterday = newDrill(t, 0, drillOptions{}), t.TempDir()
			after := r.run(t)
			before := r.samples.Ledger().Len()
			for _, conversation := range []string{"open", "waits", "closes", "fresh", "queued"} {
				r.request(t, conversation, conversation+"-next", "MEMORY")
				next := r.answer(t, after, conversation+"-next")
				require.Equal(t, schemas.OutcomeSuccess, next.Outcome, "%s: %+v", conversation, next.Error)
			}
			require.Len(t, r.read, 7)
			require.Equal(t, c.kept, r.kept(t, after), "replies that are there")
			require.LessOrEqual(t, r.samples.Ledger().Len()-before, c.requests, "requests")
			before = r.samples.Ledger().Len()
			r.again(t, after)
			if r.nats && !r.temporal {
				require.Equal(t, before+5, r.samples.Ledger().Len(), "what comes again calls no endpoint")
			}
			require.GreaterOrEqual(t, r.kept(t, after), c.again, "replies that are there when the engine has asked again")
			r.check(t, after)
		})
	}
}

// check checks that no event has replies of two ids, or two replies in the stream, and that the programs serve.
func (r *restore) check(t *testing.T, after *engine) {
	t.Helper()
	for id, replies := range byEvent(t, append(r.engine.all(), after.all()...)) {
		for _, reply := range replies {
			require.Equal(t, replies[0].ID, reply.ID, "event %s has replies of two ids", id)
		}
	}
	for id, replies := range byEvent(t, after.all()) {
		require.Len(t, replies, 1, "the stream has two replies to event %s", id)
	}
	require.Empty(t, after.deadLetters(t))
	for _, p := range append(r.starters, r.workers...) {
		require.Equal(t, http.StatusOK, readyStatus(p))
	}
}

// kept counts the replies of before that the stream has.
func (r *restore) kept(t *testing.T, after *engine) (n int) {
	t.Helper()
	stored := byEvent(t, after.all())
	for id := range r.read {
		n += min(len(stored[id]), 1)
	}
	return n
}

// again publishes what was published after the backup once more, as an engine does that does not know what arrived, and
// waits for what comes behind it in each conversation.
func (r *restore) again(t *testing.T, after *engine) {
	t.Helper()
	r.request(t, "waits", "waits-1", "NEEDS") // its step waited for an entity, and was answered after the backup
	for conversation, id := range map[string]string{
		"open": "open-2", "fresh": "fresh-1", "queued": "queued-1", "closes": "closes-2", "waits": "waits-entities",
	} {
		if id == "waits-entities" {
			r.publish(t, restoreEvent(conversation, id), schemas.TypeEntitiesCollected, product)
			r.request(t, conversation, conversation+"-last", "MEMORY")
			r.answer(t, after, conversation+"-last")
			continue
		}
		r.request(t, conversation, id, map[bool]string{true: "LAST", false: "MEMORY"}[conversation == "closes"])
		r.request(t, conversation, conversation+"-last", "MEMORY")
		r.answer(t, after, conversation+"-last")
	}
}
