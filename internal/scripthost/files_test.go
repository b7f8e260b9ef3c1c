package scripthost_test

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	files "github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// shelf keeps files; the addresses of its files exist once they are ready.
type shelf struct {
	ready bool
	kept  []files.File
}

func (s *shelf) Put(_ context.Context, _ schemas.BotID, file files.File, _ io.Reader) (files.File, error) {
	file.ID = "f1"
	s.kept = append(s.kept, file)
	return file, nil
}

func (s *shelf) Get(context.Context, schemas.BotID, string) (files.File, io.ReadCloser, error) {
	return files.File{}, nil, files.ErrNoFile
}

func (s *shelf) Ready() bool { return s.ready }

func (s *shelf) Make(owner schemas.BotID, id string, now time.Time) (string, time.Time) {
	return "https://hooks.example/" + owner.Bot + "/" + id, now.Add(time.Minute)
}

// TestHost_PutFileWithoutLinks: a file whose address cannot be made is an error that the script sees, and is not stored.
func TestHost_PutFileWithoutLinks(t *testing.T) {
	t.Parallel()
	a, s := start(t), &shelf{}
	a.host.Files, a.host.Links = s, s
	h := a.host.Handler(runOf("shop", "orders"))
	const question = `{"name":"a.txt","type":"text/plain","content":"eA=="}`
	status, answer := a.ask(t, h, "put_file", question)
	require.Equal(t, 422, status)
	require.Equal(t, "internal", answer["kind"])
	require.Contains(t, answer["detail"], "no links to files")
	require.Empty(t, s.kept)

	s.ready = true
	status, answer = a.ask(t, h, "put_file", question)
	require.Equal(t, 200, status)
	require.Equal(t, map[string]any{"id": "f1", "url": "https://hooks.example/shop/f1"}, answer)
}
