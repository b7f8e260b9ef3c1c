package bot_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// watch starts the watch and waits for the reload with which it begins.
func (b *storeBundle) watch(t *testing.T) {
	t.Helper()
	before := b.reloadCount()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Watch(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	b.eventually(t, func() bool { return b.reloadCount() > before })
}

func TestStore_WatchBadThenGood(t *testing.T) {
	t.Parallel()

	s := setupStore(t, t.TempDir(), goodBot)
	s.watch(t)
	s.write(t, "shop.yaml", badBot)
	s.eventually(t, func() bool { return s.LastError() != nil })
	require.Equal(t, "https://one.example/", s.url())

	s.write(t, "shop.yaml", otherBot)
	s.eventually(t, func() bool { return s.url() == "https://two.example/" })
	s.eventually(t, func() bool { return s.LastError() == nil })
}

func TestStore_WatchRename(t *testing.T) {
	t.Parallel()

	s := setupStore(t, t.TempDir(), goodBot)
	s.watch(t)
	for _, text := range []string{otherBot, goodBot, otherBot} {
		s.write(t, ".shop.yaml.swp", text)
		require.NoError(t, os.Rename(filepath.Join(s.dir, ".shop.yaml.swp"), filepath.Join(s.dir, "shop.yaml")))
		want := map[string]string{goodBot: "https://one.example/", otherBot: "https://two.example/"}[text]
		s.eventually(t, func() bool { return s.url() == want })
	}
}

func TestStore_WatchKubernetesSwap(t *testing.T) {
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
	s.eventually(t, func() bool { return s.url() == "https://two.example/" })
}

// TestStore_WatchGitSyncSwap replaces the link above the directory, and then removes the old checkout, as git-sync does.
func TestStore_WatchGitSyncSwap(t *testing.T) {
	t.Parallel()

	root := t.TempDir()
	checkout := func(revision, text string) {
		dir := filepath.Join(root, revision, "bots")
		require.NoError(t, os.MkdirAll(dir, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "shop.yaml"), []byte(text), 0o600))
		require.NoError(t, os.Symlink(revision, filepath.Join(root, "next")))
		require.NoError(t, os.Rename(filepath.Join(root, "next"), filepath.Join(root, "current")))
	}
	checkout("1", goodBot)
	s := setupStore(t, filepath.Join(root, "current", "bots"), goodBot)
	s.watch(t)
	checkout("2", otherBot)
	require.NoError(t, os.RemoveAll(filepath.Join(root, "1")))
	s.eventually(t, func() bool { return s.url() == "https://two.example/" })
	checkout("3", goodBot)
	require.NoError(t, os.RemoveAll(filepath.Join(root, "2")))
	s.eventually(t, func() bool { return s.url() == "https://one.example/" })
}

func TestStore_WatchSecretFile(t *testing.T) {
	t.Parallel()

	elsewhere := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(elsewhere, []byte("first\n"), 0o600))
	s := setupStore(t, t.TempDir(), "bot: shop\nsecrets: {key: {file: \""+elsewhere+"\"}}\n")
	require.Equal(t, "first", s.secret())
	s.watch(t)

	require.NoError(t, os.WriteFile(elsewhere, []byte("second\n"), 0o600))
	s.eventually(t, func() bool { return s.secret() == "second" })
	require.NotContains(t, s.log.String(), "second")

	require.NoError(t, os.Remove(elsewhere))
	s.eventually(t, func() bool { return s.LastError() != nil })
	require.Equal(t, "second", s.secret())

	require.NoError(t, os.WriteFile(elsewhere, []byte("third\n"), 0o600))
	s.eventually(t, func() bool { return s.secret() == "third" })
}

func TestStore_WatchDirectoryReplaced(t *testing.T) {
	t.Parallel()

	dir := filepath.Join(t.TempDir(), "bots")
	require.NoError(t, os.Mkdir(dir, 0o700))
	s := setupStore(t, dir, goodBot)
	s.watch(t)

	require.NoError(t, os.Rename(dir, dir+".old"))
	s.eventually(t, func() bool { return s.LastError() != nil })
	require.NoError(t, os.Mkdir(dir+".new", 0o700))
	writeFile(t, filepath.Join(dir+".new", "shop.yaml"), otherBot)
	require.NoError(t, os.Rename(dir+".new", dir))
	s.eventually(t, func() bool { return s.url() == "https://two.example/" })

	s.write(t, "shop.yaml", goodBot)
	s.eventually(t, func() bool { return s.url() == "https://one.example/" })
}

func TestWatch_TenantDirectory(t *testing.T) {
	t.Parallel()
	s := setupStore(t, t.TempDir(), goodBot)
	s.watch(t)
	s.write(t, "acme/own.yaml", "bot: own\n")
	s.eventually(t, func() bool { return len(names(s.Current())) == 2 })
	s.write(t, "acme/second.yaml", "bot: second\n")
	s.eventually(t, func() bool { return len(names(s.Current())) == 3 })
	require.NoError(t, os.RemoveAll(filepath.Join(s.dir, "acme")))
	s.eventually(t, func() bool { return len(names(s.Current())) == 1 })
}
