package bus

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

func TestFileNames(t *testing.T) {
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

func TestFilesBelongToABot(t *testing.T) {
	t.Parallel()
	_, _, s := setup(t, StreamOptions{})
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

func TestChatsAreRemembered(t *testing.T) {
	t.Parallel()
	_, js, s := setup(t, StreamOptions{})
	chats, ctx := NewChats(js, s), testContext(t)
	conversation, err := chats.Conversation(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "chat")
	require.NoError(t, err)
	require.Empty(t, conversation)
	for _, next := range []string{"c 1", "c 1", "c 2"} {
		_, err = chats.Remember(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "chat", next, 0)
		require.NoError(t, err)
		conversation, err = chats.Conversation(ctx, schemas.BotID{Tenant: "acme", Bot: "shop"}, "chat")
		require.NoError(t, err)
		require.Equal(t, next, conversation)
	}
	conversation, err = chats.Conversation(ctx, schemas.BotID{Tenant: "acme", Bot: "other"}, "chat")
	require.NoError(t, err)
	require.Empty(t, conversation)
}

func TestWires(t *testing.T) {
	t.Parallel()
	_, js, s := setup(t, StreamOptions{})
	w, ctx := NewWires(js, s), testContext(t)
	heard := make(chan string, 10)
	stop, err := w.Notices(schemas.BotID{Tenant: "acme", Bot: "shop"}, "orders.*", func(class string, notice []byte) { heard <- class + " " + string(notice) })
	require.NoError(t, err)
	require.NoError(t, w.Notify(schemas.BotID{Tenant: "acme", Bot: "shop"}, "stock.low", []byte("1")))
	require.NoError(t, w.Notify(schemas.BotID{Tenant: "acme", Bot: "other"}, "orders.paid", []byte("2")))
	require.NoError(t, w.Notify(schemas.BotID{Tenant: "acme", Bot: "shop"}, "orders.paid", []byte("3")))
	require.Equal(t, "orders.paid 3", <-heard)
	stop()
	mine, err := w.Claim(ctx, "key")
	require.NoError(t, err)
	require.True(t, mine)
	mine, err = w.Claim(ctx, "key")
	require.NoError(t, err)
	require.False(t, mine)

	require.Equal(t, fault.TooLarge, fault.Of(w.Notify(schemas.BotID{Tenant: "acme", Bot: "shop"}, "orders.paid", make([]byte, 3<<20))).Kind)
	_, err = w.Ask(ctx, "nobody", make([]byte, 3<<20))
	require.Equal(t, fault.TooLarge, fault.Of(err).Kind)
	_, err = w.Ask(ctx, "nobody", []byte("x"))
	require.ErrorContains(t, err, "no such connection")
	stop, err = w.Serve("somebody", func(request []byte) []byte { return append(request, '!') })
	require.NoError(t, err)
	defer stop()
	answer, err := w.Ask(ctx, "somebody", []byte("x"))
	require.NoError(t, err)
	require.Equal(t, "x!", string(answer))
}

func TestChannelsAreFollowed(t *testing.T) {
	t.Parallel()
	_, _, s := setup(t, StreamOptions{})
	c, ctx := NewChannels(s), testContext(t)
	first, err := c.Put(ctx, "one", []byte("a"), 0)
	require.NoError(t, err)
	_, err = c.Put(ctx, "one", []byte("b"), 0)
	require.ErrorIs(t, err, ErrChanged)
	heard, ready := make(chan string, 10), make(chan struct{})
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	t.Cleanup(func() { stop(); require.NoError(t, <-ended) })
	go func() {
		ended <- c.Follow(ctx, func(id string, text []byte, _ uint64) { heard <- id + "=" + string(text) }, func() { close(ready) })
	}()
	<-ready
	require.Equal(t, "one=a", <-heard)
	second, err := c.Put(ctx, "one", []byte("b"), first)
	require.NoError(t, err)
	require.Equal(t, "one=b", <-heard)
	require.ErrorIs(t, c.Delete(ctx, "one", first), ErrChanged)
	require.NoError(t, c.Delete(ctx, "one", second))
	require.Equal(t, "one=", <-heard)
}
