package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/quota"
	"github.com/hookturn/hookturn/schemas"
)

// Files stores the files of integration channels and scripts for a week.
type Files struct {
	store jetstream.ObjectStore
	quota *quota.Quota
}

// File is the metadata of a file.
type File struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Type     string    `json:"type"` // media type
	Size     int64     `json:"size"` // bytes
	Digest   string    `json:"digest"`
	Expires  time.Time `json:"expires"`
	Channel  string    `json:"channel,omitempty"` // code of the channel that received it
	Modified time.Time `json:"-"`
}

// ErrNoFile reports that the bot does not have the file, or that it has expired.
var ErrNoFile = errors.New("there is no such file")

// NewFiles returns a new Files on an account's streams.
func NewFiles(s bus.Streams) *Files {
	return &Files{store: s.Files(), quota: s.FileQuota()}
}

// Put stores the content of a reader under a new id. Nothing is stored when the reader fails. The error is a fault of the
// kind queue_full when the files of the tenant fill half of the store.
func (f *Files) Put(ctx context.Context, owner schemas.BotID, file File, content io.Reader) (File, error) {
	file.ID = uuid.NewString()
	about, err := json.Marshal(file)
	if err != nil {
		return File{}, err
	}
	if err := checkShare(ctx, f.quota, owner.Tenant, fault.QueueFull, "files"); err != nil {
		return File{}, err
	}
	write := f.quota.Write(owner.Tenant)
	counted := &countedReader{from: content, write: write, room: func() error {
		return checkShare(ctx, f.quota, owner.Tenant, fault.QueueFull, "files")
	}}
	info, err := f.store.Put(ctx, jetstream.ObjectMeta{
		Name: fileName(owner, file.ID), Metadata: map[string]string{"file": string(about)},
	}, counted)
	write.End(err == nil)
	if err != nil {
		return File{}, fmt.Errorf("store a file: %w", err)
	}
	return fileOf(info, file), nil
}

// countedReader counts what is stored while it is read, and asks for room again before each further mebibyte: files that
// are stored at the same time have the room of one share.
type countedReader struct {
	from   io.Reader
	write  *quota.Write
	room   func() error
	unseen int // bytes since room was asked
}

func (r *countedReader) Read(p []byte) (int, error) {
	if r.unseen >= 1<<20 {
		if err := r.room(); err != nil {
			return 0, err
		}
		r.unseen = 0
	}
	n, err := r.from.Read(p)
	r.write.Add(n)
	r.unseen += n
	return n, err
}

// IsFileID reports whether id has the form of a file's id: a UUID as Put makes it.
func IsFileID(id string) bool {
	parsed, err := uuid.Parse(id)
	return err == nil && parsed.String() == id
}

// Get opens a file of a bot.
func (f *Files) Get(ctx context.Context, owner schemas.BotID, id string) (File, io.ReadCloser, error) {
	if !IsFileID(id) {
		return File{}, nil, ErrNoFile
	}
	object, err := f.store.Get(ctx, fileName(owner, id))
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return File{}, nil, ErrNoFile
	}
	if err != nil {
		return File{}, nil, fmt.Errorf("open a file: %w", err)
	}
	info, err := object.Info()
	var file File
	if err == nil {
		err = json.Unmarshal([]byte(info.Metadata["file"]), &file)
	}
	if err != nil {
		return File{}, nil, errors.Join(fmt.Errorf("open a file: %w", err), object.Close())
	}
	return fileOf(info, file), object, nil
}

// Delete removes a file of a bot.
func (f *Files) Delete(ctx context.Context, owner schemas.BotID, id string) error {
	if !IsFileID(id) {
		return ErrNoFile
	}
	name := fileName(owner, id)
	_, err := f.store.GetInfo(ctx, name) // deleting a deleted file would succeed
	if err == nil {
		err = f.store.Delete(ctx, name)
	}
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return ErrNoFile
	}
	if err != nil {
		return fmt.Errorf("delete a file: %w", err)
	}
	return nil
}

func fileOf(info *jetstream.ObjectInfo, file File) File {
	file.Size, file.Digest = int64(info.Size), info.Digest
	if file.Modified = info.ModTime; file.Modified.IsZero() {
		file.Modified = time.Now()
	}
	file.Expires = file.Modified.Add(bus.FilesTTL).UTC().Truncate(time.Second)
	return file
}

// fileName returns the name of an object, which contains the bot.
func fileName(owner schemas.BotID, id string) string {
	return owner.Tenant + "/" + owner.Bot + "/" + id
}
