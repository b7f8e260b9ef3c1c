package bot_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	goodBot  = "bot: shop\nsteps: {X: {webhook: {url: \"https://one.example/\"}}}\n"
	otherBot = "bot: shop\nsteps: {X: {webhook: {url: \"https://two.example/\"}}}\n"
	badBot   = "bot: shop\ncolour: red\n"
	badText  = "shop.yaml:2:1: $.colour: unknown key"
)

// storeBundle is a store over a directory that the test changes.
type storeBundle struct {
	*bot.Store
	dir string
	log *syncBuffer

	mu      sync.Mutex
	reloads []error
}

func setupStore(t *testing.T, dir, text string) *storeBundle {
	t.Helper()
	b := &storeBundle{dir: dir, log: &syncBuffer{}}
	b.write(t, "shop.yaml", text)
	options := bot.Options{OnReload: func(err error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.reloads = append(b.reloads, err)
	}}
	var err error
	b.Store, err = bot.NewStore(dir, options, slog.New(slog.NewTextHandler(b.log, nil)))
	require.NoError(t, err)
	return b
}

// watch starts the watch and waits for the reload with which it begins.
func (b *storeBundle) watch(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Watch(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	b.eventually(t, func() bool { return b.reloadCount() > 0 })
}

func (b *storeBundle) reloadCount() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.reloads)
}

func (b *storeBundle) write(t *testing.T, name, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600))
}

func (b *storeBundle) url(t *testing.T) string {
	t.Helper()
	shop, ok := b.Current().Bot(schemas.BotID{Tenant: "default", Bot: "shop"})
	require.True(t, ok)
	plan, err := shop.Plan("X")
	require.NoError(t, err)
	return plan.Webhook.URL
}

func (b *storeBundle) secret(t *testing.T) string {
	t.Helper()
	shop, ok := b.Current().Bot(schemas.BotID{Tenant: "default", Bot: "shop"})
	require.True(t, ok)
	values, ok := shop.Secrets("key")
	require.True(t, ok)
	return values[0].Reveal()
}

func (b *storeBundle) eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 30*time.Second, 5*time.Millisecond)
}

func TestNewStoreRefusesBadFiles(t *testing.T) {
	t.Parallel()

	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shop.yaml"), []byte(badBot), 0o600))
	_, err := bot.NewStore(dir, bot.Options{}, slog.New(slog.DiscardHandler))
	require.EqualError(t, err, badText)
}

func TestReload(t *testing.T) {
	t.Parallel()

	s := setupStore(t, t.TempDir(), goodBot)
	first := s.Current()
	require.NoError(t, s.LastError())

	s.write(t, "shop.yaml", badBot)
	require.EqualError(t, s.Reload(), badText)
	require.EqualError(t, s.LastError(), badText)
	require.Same(t, first, s.Current(), "a bad file replaced a good one")
	require.Contains(t, s.log.String(), `file=shop.yaml line=2 column=1 key=$.colour problem="unknown key"`)

	s.write(t, "shop.yaml", otherBot)
	require.NoError(t, s.Reload())
	require.NoError(t, s.LastError())
	require.Equal(t, "https://two.example/", s.url(t))
	require.NotSame(t, first, s.Current())

	require.NoError(t, os.RemoveAll(s.dir))
	require.ErrorIs(t, s.Reload(), os.ErrNotExist)
	require.Equal(t, "https://two.example/", s.url(t))
	require.Len(t, s.reloads, 3)
}

func TestWatchBadThenGood(t *testing.T) {
	t.Parallel()

	s := setupStore(t, t.TempDir(), goodBot)
	s.watch(t)
	s.write(t, "shop.yaml", badBot)
	s.eventually(t, func() bool { return s.LastError() != nil })
	require.Equal(t, "https://one.example/", s.url(t))

	s.write(t, "shop.yaml", otherBot)
	s.eventually(t, func() bool { return s.url(t) == "https://two.example/" })
	s.eventually(t, func() bool { return s.LastError() == nil })
}

func TestWatchAnEditorsRename(t *testing.T) {
	t.Parallel()

	s := setupStore(t, t.TempDir(), goodBot)
	s.watch(t)
	for _, text := range []string{otherBot, goodBot, otherBot} {
		s.write(t, ".shop.yaml.swp", text)
		require.NoError(t, os.Rename(filepath.Join(s.dir, ".shop.yaml.swp"), filepath.Join(s.dir, "shop.yaml")))
		want := map[string]string{goodBot: "https://one.example/", otherBot: "https://two.example/"}[text]
		s.eventually(t, func() bool { return s.url(t) == want })
	}
}

func TestWatchKubernetesSwap(t *testing.T) {
	t.Parallel()

	dir := t.TempDir()
	generation := func(name, text string) {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name, "shop.yaml"), []byte(text), 0o600))
		require.NoError(t, os.Symlink(name, filepath.Join(dir, "..data_tmp")))
		require.NoError(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	generation("..2026_1", goodBot)
	require.NoError(t, os.Symlink(filepath.Join("..data", "shop.yaml"), filepath.Join(dir, "shop.yaml")))

	s := setupStore(t, dir, goodBot)
	s.watch(t)
	generation("..2026_2", otherBot)
	s.eventually(t, func() bool { return s.url(t) == "https://two.example/" })
}

func TestWatchSecretFile(t *testing.T) {
	t.Parallel()

	elsewhere := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(elsewhere, []byte("first\n"), 0o600))
	s := setupStore(t, t.TempDir(), "bot: shop\nsecrets: {key: {file: \""+elsewhere+"\"}}\n")
	require.Equal(t, "first", s.secret(t))
	s.watch(t)

	require.NoError(t, os.WriteFile(elsewhere, []byte("second\n"), 0o600))
	s.eventually(t, func() bool { return s.secret(t) == "second" })
	require.NotContains(t, s.log.String(), "second")

	require.NoError(t, os.Remove(elsewhere))
	s.eventually(t, func() bool { return s.LastError() != nil })
	require.Equal(t, "second", s.secret(t))

	require.NoError(t, os.WriteFile(elsewhere, []byte("third\n"), 0o600))
	s.eventually(t, func() bool { return s.secret(t) == "third" })
}

func TestWatchDirectoryReplaced(t *testing.T) {
	t.Parallel()

	dir := filepath.Join(t.TempDir(), "bots")
	require.NoError(t, os.Mkdir(dir, 0o700))
	s := setupStore(t, dir, goodBot)
	s.watch(t)

	require.NoError(t, os.Rename(dir, dir+".old"))
	s.eventually(t, func() bool { return s.LastError() != nil })
	require.NoError(t, os.Mkdir(dir, 0o700))
	s.write(t, "shop.yaml", otherBot)
	s.eventually(t, func() bool { return s.url(t) == "https://two.example/" })

	s.write(t, "shop.yaml", goodBot)
	s.eventually(t, func() bool { return s.url(t) == "https://one.example/" })
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
