package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func sumOfText(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// TestWheels_ReadOnce: bot files that are loaded side by side, and again, name one wheel.
func TestWheels_ReadOnce(t *testing.T) {
	t.Parallel()
	const file = "toy-1-py3-none-any.whl"
	path := filepath.Join(t.TempDir(), file)
	require.NoError(t, os.WriteFile(path, []byte("content"), 0o600))
	var reads atomic.Int32
	s := NewWheels(filepath.Dir(path))
	s.digest = func(from io.Reader) ([sha256.Size]byte, error) { reads.Add(1); return digestOf(from) }
	good := Wheel{File: file, SHA256: sumOfText("content")}
	var loads sync.WaitGroup
	for range 100 {
		loads.Go(func() {
			if err := s.Check(good); err != nil {
				t.Error(err)
			}
		})
	}
	loads.Wait()
	require.Equal(t, int32(1), reads.Load())
	require.ErrorContains(t, s.Check(Wheel{File: file, SHA256: sumOfText("other")}), "has the SHA-256 "+good.SHA256)
	require.Equal(t, int32(1), reads.Load(), "another digest needs no other reading")

	before, err := os.Stat(path)
	require.NoError(t, err)
	// A file that has changed is read again: by its size, its time, and by being another.
	require.NoError(t, os.WriteFile(path, []byte("content 2"), 0o600))
	require.NoError(t, os.Chtimes(path, time.Time{}, before.ModTime()))
	require.NoError(t, s.Check(Wheel{File: file, SHA256: sumOfText("content 2")}))
	require.NoError(t, os.WriteFile(path, []byte("content 3"), 0o600))
	require.NoError(t, os.Chtimes(path, time.Time{}, time.Unix(1, 0)))
	require.NoError(t, s.Check(Wheel{File: file, SHA256: sumOfText("content 3")}))
	other := filepath.Join(filepath.Dir(path), "other")
	require.NoError(t, os.WriteFile(other, []byte("content 4"), 0o600))
	require.NoError(t, os.Chtimes(other, time.Time{}, time.Unix(1, 0)))
	require.NoError(t, os.Rename(other, path))
	require.NoError(t, s.Check(Wheel{File: file, SHA256: sumOfText("content 4")}))
	require.ErrorContains(t, s.Check(good), "has the SHA-256")
	require.Equal(t, int32(4), reads.Load())
}

func TestWheels_Errors(t *testing.T) {
	t.Parallel()
	const file = "toy-1-py3-none-any.whl"
	dir := t.TempDir()
	s := NewWheels(dir)
	require.ErrorContains(t, s.Check(Wheel{File: "../" + file}), "is not the name of a wheel")
	require.ErrorContains(t, s.Check(Wheel{File: file}), "cannot be read from the directory of packages")
	require.Empty(t, s.known, "a name without a file is not kept")
	large, err := os.Create(filepath.Join(dir, file))
	require.NoError(t, err)
	require.NoError(t, large.Truncate(WheelMax+1))
	require.NoError(t, large.Close())
	require.ErrorContains(t, s.Check(Wheel{File: file}), "has more than 67108864 bytes")
	require.Empty(t, s.known)
}
