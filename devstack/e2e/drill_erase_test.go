package e2e

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // Temporal's database

	"github.com/hookturn/hookturn/devstack/invariants"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/permissions"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

const eraseBot = `bot: shop
tenant: $TENANT
base_urls: {test: "$ENDPOINT"}
bot_break: {default: "Sorry."}
steps:
  ORDER: {webhook: {path: /echo}}
  LAST: {end_step: true, webhook: {path: /echo}}
  BROKEN: {webhook: {path: /broken, limits: {trip_after: 1000}}}
`

// eraseDrill is a user of one tenant with data in all places, and users of another tenant with the same ids.
type eraseDrill struct {
	*drill
	tools *transcript
	file  store.File
}

// personMark is a text that only what belongs to user 91 of a tenant holds.
func personMark(tenant string) string { return "person-91-of-" + tenant }

func newEraseDrill(t *testing.T) *eraseDrill {
	t.Helper()
	r := &eraseDrill{drill: newDrill(t, 0, drillOptions{natsArgs: []string{"--sync-interval=2s"}})}
	r.samples.Handle("/broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	r.samples.Handle("/echo", r.echo)
	require.NoError(t, os.RemoveAll(r.bots))
	for _, tenant := range tenants {
		text := strings.NewReplacer("$TENANT", tenant, "$ENDPOINT", r.samples.URL()).Replace(eraseBot)
		require.NoError(t, os.MkdirAll(filepath.Join(r.bots, tenant), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(r.bots, tenant, "shop.yaml"), []byte(text), 0o600))
	}
	r.tools = newTranscript(t, "nats://"+r.natsAddr, r.temporalAddr, permissions.Operator)
	return r
}

// echo answers with the user's name, in the response and in what is remembered, and with the id of a file.
func (r *eraseDrill) echo(w http.ResponseWriter, request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	mark := personMark(tenants[1])
	if bytes.Contains(body, []byte(personMark(tenants[0]))) {
		mark = personMark(tenants[0])
	}
	const answer = `{"status":true,"response":["Hello %s, file %s"],"user_details":{"name":%q},` +
		`"conversation_details":{"name":%q}}`
	fmt.Fprintf(w, answer, mark, r.file.ID, mark, mark)
}

// live lets the users of both tenants talk: a closed conversation, an open one, bot breaks, and dead letters.
func (r *eraseDrill) live(t *testing.T) {
	t.Helper()
	streams := streamsOf(t, r.js)
	shop := schemas.BotID{Tenant: tenants[0], Bot: "shop"}
	var err error
	r.file, err = store.NewFiles(streams).Put(t.Context(), shop, store.File{Name: "letter.txt", Type: "text/plain"},
		strings.NewReader(strings.Repeat(personMark(shop.Tenant)+"\n", 100)))
	require.NoError(t, err)
	for _, tenant := range tenants {
		for n := range 10 {
			for i, step := range []string{"ORDER", "BROKEN", "LAST"} {
				key := schemas.BotID{Tenant: tenant, Bot: "shop"}.WithConversation(fmt.Sprintf("c-%d", n))
				if i == 2 && n%2 == 0 {
					continue // stays open
				}
				r.say(t, invariants.Event{ConversationKey: key, ID: fmt.Sprintf("event-%d", i)}, step)
			}
			r.say(t, invariants.Event{
				ConversationKey: schemas.BotID{Tenant: tenant, Bot: "ghost"}.WithConversation(fmt.Sprintf("c-%d", n)), ID: "event-0",
			}, "ORDER")
		}
	}
	r.waitAll(t)
}

func (r *eraseDrill) say(t *testing.T, e invariants.Event, step string) {
	t.Helper()
	mark := personMark(e.Tenant)
	r.send(t, e, schemas.TypeStepRequested, fmt.Sprintf(
		`{"step":%q,"user":{"id":"91","name":%q},"entities":{"a":[{"detection":"message","original_text":%q,"entity_value":1}]}}`,
		step, mark, mark))
}

// found is how often a text is in the files of a directory.
type found struct{ occurrences, files int }

func search(t *testing.T, dir, text string) (all found) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil //nolint:nilerr // the server has deleted it meanwhile
		}
		content, err := os.ReadFile(path)
		if n := bytes.Count(content, []byte(text)); err == nil && n > 0 {
			all.occurrences, all.files = all.occurrences+n, all.files+1
		}
		return nil
	}))
	return all
}

// searched notes how often the erased user's texts, and those of the other tenant's, are in the servers' files.
func (r *eraseDrill) searched(t *testing.T, when string) (nats, temporal found) {
	t.Helper()
	mark := personMark(tenants[0])
	nats, temporal = search(t, filepath.Join(r.dir, "nats"), mark), search(t, filepath.Join(r.dir, "temporal"), mark)
	r.tools.note("%s: %q is %d times in %d files of NATS, %d times in %d files of Temporal", when, mark,
		nats.occurrences, nats.files, temporal.occurrences, temporal.files)
	return nats, temporal
}

// erase runs "starter erase" and returns its report.
func (r *eraseDrill) erase(t *testing.T) (report erased) {
	t.Helper()
	out, status := r.tools.run(t, "erase", "--tenant", tenants[0], "--user", "91", "--yes", "--wait", "3m", "--output", "json")
	require.Zero(t, status, "%s", out)
	require.NoError(t, json.Unmarshal([]byte(out), &report), "%s", out)
	return report
}

// vacuum compacts Temporal's database while the server is stopped.
func (r *eraseDrill) vacuum(t *testing.T) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(r.dir, "temporal", "temporal.db"))
	require.NoError(t, err)
	defer db.Close()
	for _, statement := range []string{"VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"} {
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err, statement)
	}
}

// TestDrill_Erase erases a user and searches the files of both servers for the user's texts, before and after what removes
// them from the disk.
func TestDrill_Erase(t *testing.T) {
	r := newEraseDrill(t)
	r.start(t)
	stop := r.follow(t)
	r.live(t)
	stop()
	nats, temporal := r.searched(t, "before")
	require.Positive(t, nats.occurrences)
	require.Positive(t, temporal.occurrences)
	require.Eventually(t, func() bool { // lists of runs come a moment later
		for _, tenant := range tenants {
			var dry erased
			out, status := r.dryRun(t, tenant)
			if status != 0 || json.Unmarshal([]byte(out), &dry) != nil || dry.Conversations != 20 || dry.Runs != 10 {
				return false
			}
		}
		return true
	}, patience, 200*time.Millisecond)

	others := r.of(t, tenants[1])
	report := r.erase(t)
	require.Equal(t, []int{20, 1, 10, 1}, []int{report.Conversations, report.UserDetails, report.DeadLetters, report.Files})
	again := r.erase(t)
	require.Zero(t, again.Runs+again.Events+again.Replies+again.DeadLetters+again.UserDetails+again.Files, "%+v", again)
	require.Equal(t, others, r.of(t, tenants[1]), "the user of the other tenant is not touched")
	r.searched(t, "after the erase")
	for _, stream := range []string{schemas.StreamEvents, schemas.StreamReplies, schemas.StreamDeadLetters} {
		require.Zero(t, search(t, filepath.Join(r.streams(), stream), personMark(tenants[0])), "%s is overwritten at once", stream)
	}

	r.fill(t)
	require.Eventually(t, func() bool {
		return search(t, r.streams(), personMark(tenants[0])) == found{}
	}, patience, 500*time.Millisecond, "NATS compacts what is not its newest file")
	r.searched(t, "after more data in both buckets, and the compaction by NATS")
	for _, p := range slices.Concat(r.workers, r.starters, []*proc{r.temporal}) {
		p.stop(t)
	}
	r.vacuum(t)
	_, temporal = r.searched(t, "after VACUUM of Temporal's database")
	require.Equal(t, found{}, temporal)
	for _, dir := range []string{"nats", "temporal"} {
		others := search(t, filepath.Join(r.dir, dir), personMark(tenants[1]))
		require.Positive(t, others.occurrences, "the search finds the other tenant's in %s", dir)
	}
}

// streams is the directory of JetStream's files.
func (r *eraseDrill) streams() string {
	return filepath.Join(r.dir, "nats", "jetstream", "HOOKTURN", "streams")
}

// of returns what an erase of the tenant's user would delete.
func (r *eraseDrill) of(t *testing.T, tenant string) (dry erased) {
	t.Helper()
	out, status := r.dryRun(t, tenant)
	require.Zero(t, status, "%s", out)
	require.NoError(t, json.Unmarshal([]byte(out), &dry), "%s", out)
	return dry
}

func (r *eraseDrill) dryRun(t *testing.T, tenant string) (out string, status int) {
	t.Helper()
	return r.tools.read(t, "erase", "--tenant", tenant, "--user", "91", "--dry-run", "--output", "json")
}

// fill writes to the buckets until each has a new file: users and files come and go.
func (r *eraseDrill) fill(t *testing.T) {
	t.Helper()
	streams := streamsOf(t, r.js)
	const size, times = 512 << 10, 40
	files, shop := store.NewFiles(streams), schemas.BotID{Tenant: tenants[1], Bot: "shop"}
	for range times {
		_, err := streams.Bucket(bus.BucketUsers).Put(t.Context(), "filler", make([]byte, size))
		require.NoError(t, err)
		file, err := files.Put(t.Context(), shop, store.File{Name: "filler"}, bytes.NewReader(make([]byte, size)))
		require.NoError(t, err)
		require.NoError(t, files.Delete(t.Context(), shop, file.ID))
	}
}
