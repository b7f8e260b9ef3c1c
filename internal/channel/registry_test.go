package channel_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/channel"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/schemas"
)

// files are bot files that change.
type files struct {
	t   *testing.T
	dir string
	set *bot.Set
}

func (f *files) Current() *bot.Set { return f.set }

func (f *files) write(text string) {
	f.t.Helper()
	require.NoError(f.t, os.WriteFile(filepath.Join(f.dir, "shop.yaml"), []byte(text), 0o600))
	set, err := bot.Load(f.dir, bot.Options{Dialects: dialects.Specs(), FreeSecrets: true, LookupEnv: func(string) (string, bool) { return "0123456789abcdef", true }})
	require.NoError(f.t, err)
	f.set = set
}

const withScript = "bot: shop\nscripts: {hook: {file: hook.py}}\nsecrets: {key: {env: KEY}}\n"

// store passes what it stores to the registry that follows it.
type store struct {
	follow   chan []byte
	revision uint64
	err      error
	changed  func(id string, text []byte, revision uint64) // of the registry of this process
}

// local lets the registry of this process follow the store.
type local struct{ *store }

func (l local) Follow(_ context.Context, begin func(), changed func(string, []byte, uint64), ready func()) error {
	l.store.changed = changed
	begin()
	ready()
	return nil
}

func (s *store) Put(_ context.Context, id string, text []byte, _ uint64) (uint64, error) {
	s.revision++
	s.follow <- text
	s.changed(id, text, s.revision)
	return s.revision, s.err
}

func (s *store) Delete(context.Context, string, uint64) error { return s.err }

// Follow passes on what was stored, reports that it is ready, and returns.
func (s *store) Follow(_ context.Context, begin func(), changed func(string, []byte, uint64), ready func()) error {
	begin()
	for n := uint64(1); n <= s.revision; n++ {
		changed("6f1b1d3c-6f0e-4a43-9a07-2f2f5f7e2d51", <-s.follow, n)
	}
	changed("no channel", []byte("{"), 1)
	ready()
	return nil
}

func TestRegistry_StoredChannelFollowsItsBotFile(t *testing.T) {
	t.Parallel()
	f := &files{t: t, dir: t.TempDir()}
	require.NoError(t, os.WriteFile(filepath.Join(f.dir, "hook.py"), []byte("def main(event, context): pass"), 0o600))
	f.write(withScript)
	kept := &store{follow: make(chan []byte, 10)}
	one := channel.NewRegistry(f, bot.Options{}, slog.New(slog.DiscardHandler))
	require.NoError(t, one.Follow(t.Context(), local{kept}, func() {}))
	office := &channel.Administration{Registry: one, Store: kept}
	made, token, err := office.Create(t.Context(), schemas.BotID{Tenant: "default", Bot: "shop"},
		[]byte(`{"id":"6f1b1d3c-6f0e-4a43-9a07-2f2f5f7e2d51","code":"late","type":"public","recv_svcscriptcode":"hook"}`))
	require.NoError(t, err)

	other := channel.NewRegistry(f, bot.Options{}, slog.New(slog.DiscardHandler)) // of another process
	ready := false
	require.NoError(t, other.Follow(t.Context(), kept, func() { ready = true }))
	require.True(t, ready)
	for _, r := range []*channel.Registry{one, other} {
		ch, ok := r.ByToken(sha256.Sum256([]byte(token)))
		require.True(t, ok)
		require.Equal(t, made.ID, ch.ID)
	}

	f.write("bot: shop\n")
	_, ok := other.ByToken(sha256.Sum256([]byte(token)))
	require.False(t, ok, "its script is gone")
	entry, err := office.Get(made.ID)
	require.NoError(t, err)
	require.ErrorContains(t, entry.Problem, "names a script that is not defined")
	f.write(withScript + "channels: [{code: late, type: public}]\n")
	require.Equal(t, channel.OriginFile, office.List()[0].Origin)
	require.ErrorContains(t, office.List()[1].Problem, "the bot file has a channel of the code late")
	ch, ok := one.ByCode(schemas.BotID{Tenant: "default", Bot: "shop"}, "late")
	require.True(t, ok)
	require.NotEqual(t, made.ID, ch.ID, "that of the bot file counts")
	f.write(withScript)
	_, ok = other.ByToken(sha256.Sum256([]byte(token)))
	require.True(t, ok, "and it is served again")

	_, _, err = office.Change(t.Context(), made.ID, made.Revision, []byte(`{"code":"late","type":"public","token_local":"key"}`), false)
	require.NoError(t, err)
	_, ok = one.ByToken(sha256.Sum256([]byte("0123456789abcdef")))
	require.True(t, ok, "a secret of the bot opens it")

	kept.err = errors.New("away")
	require.ErrorContains(t, office.Remove(t.Context(), made.ID, 2), "away")
	require.ErrorIs(t, office.Remove(t.Context(), "unknown", 1), channel.ErrNotFound)
	_, ok = one.ByCode(schemas.BotID{Tenant: "default", Bot: "unknown"}, "late")
	require.False(t, ok)
}

// TestRegistry_BucketCreatedAgain: the revisions of a bucket that was created again begin again. What it holds counts, and a
// token that was replaced or removed there opens nothing here.
func TestRegistry_BucketCreatedAgain(t *testing.T) {
	t.Parallel()
	f := &files{t: t, dir: t.TempDir()}
	f.write("bot: shop\n")
	const id = "6f1b1d3c-6f0e-4a43-9a07-2f2f5f7e2d51"
	kept := &store{follow: make(chan []byte, 10), revision: 40}
	r := channel.NewRegistry(f, bot.Options{}, slog.New(slog.DiscardHandler))
	require.NoError(t, r.Follow(t.Context(), local{kept}, func() {}))
	owner := schemas.BotID{Tenant: "default", Bot: "shop"}
	_, token, err := (&channel.Administration{Registry: r, Store: kept}).Create(t.Context(), owner,
		[]byte(`{"id":"`+id+`","code":"late","type":"public"}`))
	require.NoError(t, err)
	opens := func() bool { _, ok := r.ByToken(sha256.Sum256([]byte(token))); return ok }
	stored := <-kept.follow
	again := func(text []byte, revision uint64) {
		require.NoError(t, r.Follow(t.Context(), followed{id, text, revision}, func() {}))
	}
	again(stored, 41)
	require.True(t, opens())
	again(bytes.ReplaceAll(stored, []byte("token_sha256"), []byte("other")), 1)
	require.False(t, opens(), "another token was made")
	again(stored, 2)
	require.True(t, opens())
	again(nil, 0)
	require.False(t, opens(), "the channel was removed")
}

// followed is a bucket that holds one channel.
type followed struct {
	id       string
	text     []byte
	revision uint64
}

func (f followed) Follow(_ context.Context, begin func(), changed func(string, []byte, uint64), ready func()) error {
	begin()
	changed(f.id, f.text, f.revision)
	ready()
	return nil
}
