package natsclient

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/nats-io/nats.go/jetstream"
)

// guardedObjects is an object store behind the guard.
type guardedObjects struct {
	jetstream.ObjectStore
	guard

	js     jetstream.JetStream
	stream string // its name
	root   string // first tokens of its subjects
}

func (g guardedObjects) Put(
	ctx context.Context, meta jetstream.ObjectMeta, content io.Reader,
) (*jetstream.ObjectInfo, error) {
	// The content can be read once only: what it needs is there before it is read.
	if _, err := repeated(ctx, g.guard, checkObject(meta.Name), g.subjects, g.Status); err != nil {
		return nil, err
	}
	info, err := unbounded(ctx, g.guard, nil, g.subjects,
		func(ctx context.Context) (*jetstream.ObjectInfo, error) { return g.ObjectStore.Put(ctx, meta, content) })
	g.wrote(g.root, err)
	return info, err
}

func (g guardedObjects) PutBytes(ctx context.Context, name string, content []byte) (*jetstream.ObjectInfo, error) {
	return unbounded(ctx, g.guard, checkObject(name), g.subjects,
		func(ctx context.Context) (*jetstream.ObjectInfo, error) {
			return g.ObjectStore.PutBytes(ctx, name, content)
		})
}

func (g guardedObjects) PutString(ctx context.Context, name, content string) (*jetstream.ObjectInfo, error) {
	return unbounded(ctx, g.guard, checkObject(name), g.subjects,
		func(ctx context.Context) (*jetstream.ObjectInfo, error) {
			return g.ObjectStore.PutString(ctx, name, content)
		})
}

func (g guardedObjects) PutFile(ctx context.Context, path string) (*jetstream.ObjectInfo, error) {
	return unbounded(ctx, g.guard, checkObject(path), g.subjects,
		func(ctx context.Context) (*jetstream.ObjectInfo, error) { return g.ObjectStore.PutFile(ctx, path) })
}

// Get reads the content without a consumer. An object that links to another is not supported: nothing here stores one.
func (g guardedObjects) Get(
	ctx context.Context, name string, opts ...jetstream.GetObjectOpt,
) (jetstream.ObjectResult, error) {
	if len(opts) > 0 {
		return nil, errors.New("options of reading an object are not supported")
	}
	info, err := g.GetInfo(ctx, name)
	if err != nil {
		return nil, err
	}
	return openObject(ctx, g.js, info), nil
}

func (g guardedObjects) GetBytes(ctx context.Context, name string, opts ...jetstream.GetObjectOpt) ([]byte, error) {
	object, err := g.Get(ctx, name, opts...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = object.Close() }() // it was read
	return io.ReadAll(object)
}

func (g guardedObjects) GetString(ctx context.Context, name string, opts ...jetstream.GetObjectOpt) (string, error) {
	content, err := g.GetBytes(ctx, name, opts...)
	return string(content), err
}

func (g guardedObjects) GetFile(ctx context.Context, name, path string, opts ...jetstream.GetObjectOpt) error {
	content, err := g.GetBytes(ctx, name, opts...)
	if err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o600)
}

func (g guardedObjects) GetInfo(
	ctx context.Context, name string, opts ...jetstream.GetObjectInfoOpt,
) (*jetstream.ObjectInfo, error) {
	return repeated(ctx, g.guard, checkObject(name), g.subjects,
		func(ctx context.Context) (*jetstream.ObjectInfo, error) {
			return g.ObjectStore.GetInfo(ctx, name, opts...)
		})
}

func (g guardedObjects) UpdateMeta(ctx context.Context, name string, meta jetstream.ObjectMeta) error {
	return g.run(ctx, firstError(checkObject(name), checkObject(meta.Name)), g.subjects,
		func(ctx context.Context) error { return g.ObjectStore.UpdateMeta(ctx, name, meta) })
}

func (g guardedObjects) Delete(ctx context.Context, name string) error {
	return g.write(ctx, checkObject(name), g.root, g.subjects,
		func(ctx context.Context) error { return g.ObjectStore.Delete(ctx, name) })
}

func (g guardedObjects) AddLink(
	ctx context.Context, name string, to *jetstream.ObjectInfo,
) (*jetstream.ObjectInfo, error) {
	return once(ctx, g.guard, checkObject(name), g.subjects,
		func(ctx context.Context) (*jetstream.ObjectInfo, error) { return g.ObjectStore.AddLink(ctx, name, to) })
}

func (g guardedObjects) AddBucketLink(
	ctx context.Context, name string, to jetstream.ObjectStore,
) (*jetstream.ObjectInfo, error) {
	return once(ctx, g.guard, checkObject(name), g.subjects,
		func(ctx context.Context) (*jetstream.ObjectInfo, error) {
			return g.ObjectStore.AddBucketLink(ctx, name, to)
		})
}

func (g guardedObjects) Status(ctx context.Context) (jetstream.ObjectStoreStatus, error) {
	return once(ctx, g.guard, nil, to("STREAM.INFO."+g.stream),
		func(ctx context.Context) (jetstream.ObjectStoreStatus, error) { return g.ObjectStore.Status(ctx) })
}

// subjects returns the subjects of reading and storing objects.
func (g guardedObjects) subjects() []string {
	return []string{
		g.root + ".>", "STREAM.INFO." + g.stream, "STREAM.PURGE." + g.stream, "STREAM.MSG.GET." + g.stream,
		"DIRECT.GET." + g.stream + ".>", "CONSUMER.CREATE." + g.stream + ".>", "CONSUMER.CREATE." + g.stream,
	}
}
