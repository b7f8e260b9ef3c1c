package store

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

func TestFile_Names(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"a.png": "a.png", "../../etc/passwd": "passwd", `C:\x\y.doc`: "y.doc", "": "file", "..": "file", "/": "file",
		"a\"b\nc": "a_b_c", "\xff.txt": "_.txt", strings.Repeat("ü", 150): strings.Repeat("ü", 100),
	} {
		require.Equal(t, want, FileName(name))
	}
}

func TestFileTypes(t *testing.T) {
	t.Parallel()
	for media, allowed := range map[string]bool{
		"image/png": true, "audio/ogg": true, "application/pdf": true, "text/csv": true,
		"application/vnd.openxmlformats-officedocument.wordprocessingml.document": true,
		"image/svg+xml": false, "text/html": false, "application/javascript": false, "image/": false, "": false,
	} {
		require.Equal(t, allowed, FileTypeAllowed(media), media)
	}
}

func TestFiles_BelongToABot(t *testing.T) {
	t.Parallel()
	_, s := setup(t, bus.StreamOptions{})
	files, ctx := NewFiles(s), testContext(t)
	text := strings.Repeat("0123456789", 50_000) // several chunks
	file, err := files.Put(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, File{Name: "a.txt", Type: "text/plain", Channel: "desk"}, strings.NewReader(text))
	require.NoError(t, err)
	require.EqualValues(t, len(text), file.Size)
	require.NotEmpty(t, file.Digest)
	got, content, err := files.Get(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, file.ID)
	require.NoError(t, err)
	read, err := io.ReadAll(content)
	require.NoError(t, err)
	require.NoError(t, content.Close())
	require.Equal(t, text, string(read))
	require.Equal(t, []string{"a.txt", "text/plain", "desk"}, []string{got.Name, got.Type, got.Channel})
	_, _, err = files.Get(ctx, schemas.BotID{Tenant: "acme", Bot: "other"}, file.ID)
	require.ErrorIs(t, err, ErrNoFile)
	_, err = files.Put(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, File{}, io.MultiReader(strings.NewReader("x"), broken{}))
	require.ErrorIs(t, err, errBroken)
	require.NoError(t, files.Delete(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, file.ID))
	require.ErrorIs(t, files.Delete(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, file.ID), ErrNoFile)
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBroken }
