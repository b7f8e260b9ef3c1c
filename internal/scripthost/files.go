package scripthost

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"time"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/store"
)

// fileMax bounds what a script keeps or reads, in bytes: it has to fit into what it may ask at a time.
const fileMax = 1 << 20

type putFileParams struct {
	Name    string `json:"name"`
	Type    string `json:"type"`
	Content []byte `json:"content"` // base64
}

// putFile keeps a file of the bot. Its answer has a link that is good for some minutes; without one nothing is stored.
func (a *api) putFile(ctx context.Context, q putFileParams) (any, error) {
	media, _, err := mime.ParseMediaType(q.Type)
	if err != nil || !store.FileTypeAllowed(media) {
		return nil, fault.New(fault.Encoding, "files of this type are not kept")
	}
	if len(q.Content) > fileMax {
		return nil, fault.New(fault.TooLarge, "a script keeps files of at most %d bytes", fileMax)
	}
	if !a.Links.Ready() { // before the file is stored: a script that tries again would store it each time
		return nil, fault.New(fault.Internal,
			"no links to files can be made yet: no gateway of the installation has started")
	}
	file, err := a.Files.Put(ctx, a.run.BotID,
		store.File{Name: store.FileName(q.Name), Type: media, Channel: a.run.Channel}, bytes.NewReader(q.Content))
	if err != nil {
		return nil, err
	}
	link, _ := a.Links.Make(a.run.BotID, file.ID, time.Now())
	return map[string]any{"id": file.ID, "url": link}, nil
}

type getFileParams struct {
	ID string `json:"id"`
}

func (a *api) getFile(ctx context.Context, q getFileParams) (any, error) {
	file, content, err := a.Files.Get(ctx, a.run.BotID, q.ID)
	if errors.Is(err, store.ErrNoFile) {
		return nil, fault.New(fault.Gone, "there is no such file")
	}
	if err != nil {
		return nil, err
	}
	defer content.Close()
	text, err := io.ReadAll(io.LimitReader(content, fileMax+1))
	if err != nil {
		return nil, err
	}
	if len(text) > fileMax {
		return nil, fault.New(fault.TooLarge, "a script reads files of at most %d bytes", fileMax)
	}
	return map[string]any{
		"name": file.Name, "type": file.Type, "content": base64.StdEncoding.EncodeToString(text),
	}, nil
}
