package channel_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/channel"
	"github.com/hookturn/hookturn/schemas"
)

// bucket is the bucket of channels of two starters. Its registries receive what is stored when the test passes it on.
type bucket struct {
	revision uint64
	entries  []entry
	follower func(id string, text []byte, revision uint64)
	before   func() // called with each Put, before it is stored
}

type entry struct {
	id       string
	text     []byte
	revision uint64
}

func (b *bucket) Follow(_ context.Context, begin func(), changed func(string, []byte, uint64), ready func()) error {
	b.follower = changed
	begin()
	ready()
	return nil
}

func (b *bucket) put(id string, text []byte) uint64 {
	b.revision++
	b.entries = append(b.entries, entry{id, text, b.revision})
	return b.revision
}

// Put implements channel.Store. The registry receives everything in the order of the bucket.
func (b *bucket) Put(_ context.Context, id string, text []byte, _ uint64) (uint64, error) {
	if b.before != nil {
		b.before()
	}
	revision := b.put(id, text)
	for _, e := range b.entries {
		b.follower(e.id, e.text, e.revision)
	}
	return revision, nil
}

func (b *bucket) Delete(_ context.Context, id string, _ uint64) error {
	b.put(id, nil)
	return nil
}

// stored is a channel of another starter.
func stored(t *testing.T, id, code string, at time.Time) []byte {
	t.Helper()
	text, err := json.Marshal(channel.Stored{
		BotID: schemas.BotID{Tenant: "default", Bot: "shop"}, ID: id, Created: at, Modified: at,
		Channel: json.RawMessage(`{"code":"` + code + `","type":"public"}`),
	})
	require.NoError(t, err)
	return text
}

// followBucket returns a registry that follows an empty bucket, beside the file of a bot without channels.
func followBucket(t *testing.T) (*channel.Registry, *bucket) {
	t.Helper()
	f, kept := &files{t: t, dir: t.TempDir()}, &bucket{}
	f.write("bot: shop\n")
	r := channel.NewRegistry(f, bot.Options{}, slog.New(slog.DiscardHandler))
	require.NoError(t, r.Follow(t.Context(), kept, func() {}))
	return r, kept
}

// TestCreate_OtherStarterFirst: two starters create channels, and neither knows that of the other one when it checks its own.
func TestCreate_OtherStarterFirst(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		code   string // of the channel that the other starter has stored before
		most   int
		failed bool
	}{
		"the same code":           {"late", 5, true},
		"the last of the licence": {"early", 1, true},
		"room for both":           {"early", 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, kept := followBucket(t)
			kept.before = func() { kept.put("other", stored(t, "other", c.code, time.Now())) }
			office := &channel.Administration{Registry: r, Store: kept, Licences: map[string]int{"public": c.most}}
			owner := schemas.BotID{Tenant: "default", Bot: "shop"}
			_, _, err := office.Create(t.Context(), owner, []byte(`{"id":"own","code":"late","type":"public"}`))
			if !c.failed {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, channel.ErrOvertaken)
			last := kept.entries[len(kept.entries)-1]
			require.Equal(t, channel.KeyOf("own"), last.id)
			require.Empty(t, last.text, "its own is removed")
			_, err = office.Get("own")
			require.ErrorIs(t, err, channel.ErrNotFound)
			_, ok := r.ByCode(owner, c.code)
			require.True(t, ok, "that of the other starter is served")
		})
	}
}

// TestCreate_LaterOneOfOtherStarter: what another starter has stored later is its own to remove.
func TestCreate_LaterOneOfOtherStarter(t *testing.T) {
	t.Parallel()
	r, kept := followBucket(t)
	apply := kept.follower
	kept.follower = func(id string, text []byte, revision uint64) {
		apply("a-later-one", stored(t, "a-later-one", "late", time.Now().Add(time.Hour)), revision+1)
		apply(id, text, revision)
	}
	owner := schemas.BotID{Tenant: "default", Bot: "shop"}
	_, _, err := (&channel.Administration{Registry: r, Store: kept}).Create(t.Context(), owner,
		[]byte(`{"id":"own","code":"late","type":"public"}`))
	require.NoError(t, err)
	ch, ok := r.ByCode(owner, "late")
	require.True(t, ok)
	require.Equal(t, "own", ch.ID, "the older one is served, whatever the order of their ids")
}

// TestCreate_OthersNotKnown: a starter that does not learn what was stored before its channel does not answer that it is served.
func TestCreate_OthersNotKnown(t *testing.T) {
	t.Parallel()
	r, kept := followBucket(t)
	kept.follower = func(string, []byte, uint64) {} // nothing arrives
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	owner := schemas.BotID{Tenant: "default", Bot: "shop"}
	_, _, err := (&channel.Administration{Registry: r, Store: kept}).Create(ctx, owner,
		[]byte(`{"id":"own","code":"late","type":"public"}`))
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, kept.entries[len(kept.entries)-1].text, "it is removed")
}
