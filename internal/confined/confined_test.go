package confined_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/confined"
)

func TestRead(t *testing.T) {
	t.Parallel()
	outside, dir := t.TempDir(), t.TempDir()
	write := func(path, text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	write(filepath.Join(outside, "key"), "theirs")
	write(filepath.Join(dir, "key"), "ours")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "..2026_1"), 0o700))
	write(filepath.Join(dir, "..2026_1", "swapped"), "swapped")
	for link, target := range map[string]string{
		"..data": "..2026_1", "swapped": "..data/swapped", // as Kubernetes does
		"absolute": filepath.Join(outside, "key"), "relative": "../" + filepath.Base(outside) + "/key", "directory": outside,
	} {
		require.NoError(t, os.Symlink(target, filepath.Join(dir, link)))
	}
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))

	for name, want := range map[string]string{"key": "ours", "swapped": "swapped", "..data/swapped": "swapped"} {
		text, err := confined.Read(dir, name, 100)
		require.NoError(t, err, name)
		require.Equal(t, want, string(text))
	}
	for _, name := range []string{
		"absolute", "relative", "directory/key", "../" + filepath.Base(outside) + "/key", filepath.Join(outside, "key"), "pipe",
		".", "", "missing",
	} {
		text, err := confined.Read(dir, name, 100)
		require.Error(t, err, name)
		require.Empty(t, text)
		require.NotContains(t, err.Error(), outside)
	}
	_, err := confined.Read(dir, "missing", 100)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = confined.Read(dir, "key", 3)
	require.EqualError(t, err, "it is larger than 3 bytes")
	_, err = confined.Read(filepath.Join(dir, "absent"), "key", 3)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestReadAnywhere(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("x", 10)), 0o600))
	text, err := confined.ReadAnywhere(path, 10)
	require.NoError(t, err)
	require.Len(t, text, 10)
	_, err = confined.ReadAnywhere("/dev/zero", 10)
	require.EqualError(t, err, "it is not a regular file")
}
