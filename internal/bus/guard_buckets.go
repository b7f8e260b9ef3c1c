package bus

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/nats-io/nats.go/jetstream"
)

// guardedKeyValue is a bucket behind the guard.
type guardedKeyValue struct {
	jetstream.KeyValue
	guard

	stream string // its name
}

// guardedObjects is an object store behind the guard.
type guardedObjects struct {
	jetstream.ObjectStore
	guard

	js jetstream.JetStream
}

func (g guardedKeyValue) Get(ctx context.Context, key string) (jetstream.KeyValueEntry, error) {
	return repeated(ctx, g.guard, CheckKey(key), func() []string { return g.reads(key) },
		func(ctx context.Context) (jetstream.KeyValueEntry, error) { return g.KeyValue.Get(ctx, key) })
}

func (g guardedKeyValue) GetRevision(
	ctx context.Context, key string, revision uint64,
) (jetstream.KeyValueEntry, error) {
	return once(ctx, g.guard, CheckKey(key), to("STREAM.MSG.GET."+g.stream, "DIRECT.GET."+g.stream),
		func(ctx context.Context) (jetstream.KeyValueEntry, error) {
			return g.KeyValue.GetRevision(ctx, key, revision)
		})
}

func (g guardedKeyValue) Put(ctx context.Context, key string, value []byte) (uint64, error) {
	return written(ctx, g.guard, CheckKey(key), g.stream, g.keyed(key),
		func(ctx context.Context) (uint64, error) { return g.KeyValue.Put(ctx, key, value) })
}

func (g guardedKeyValue) PutString(ctx context.Context, key, value string) (uint64, error) {
	return written(ctx, g.guard, CheckKey(key), g.stream, g.keyed(key),
		func(ctx context.Context) (uint64, error) { return g.KeyValue.PutString(ctx, key, value) })
}

func (g guardedKeyValue) Create(
	ctx context.Context, key string, value []byte, opts ...jetstream.KVCreateOpt,
) (uint64, error) {
	return written(ctx, g.guard, CheckKey(key), g.stream, func() []string { return append(g.reads(key), g.key(key)) },
		func(ctx context.Context) (uint64, error) { return g.KeyValue.Create(ctx, key, value, opts...) })
}

func (g guardedKeyValue) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	return written(ctx, g.guard, CheckKey(key), g.stream, g.keyed(key),
		func(ctx context.Context) (uint64, error) { return g.KeyValue.Update(ctx, key, value, revision) })
}

func (g guardedKeyValue) Delete(ctx context.Context, key string, opts ...jetstream.KVDeleteOpt) error {
	return g.write(ctx, CheckKey(key), g.stream, g.keyed(key),
		func(ctx context.Context) error { return g.KeyValue.Delete(ctx, key, opts...) })
}

func (g guardedKeyValue) Purge(ctx context.Context, key string, opts ...jetstream.KVDeleteOpt) error {
	return g.write(ctx, CheckKey(key), g.stream, g.keyed(key),
		func(ctx context.Context) error { return g.KeyValue.Purge(ctx, key, opts...) })
}

func (g guardedKeyValue) Watch(
	ctx context.Context, keys string, opts ...jetstream.WatchOpt,
) (jetstream.KeyWatcher, error) {
	return lasting(ctx, g.guard, checkFilter(keys), g.watches,
		func(ctx context.Context) (jetstream.KeyWatcher, error) { return g.KeyValue.Watch(ctx, keys, opts...) })
}

func (g guardedKeyValue) WatchFiltered(
	ctx context.Context, keys []string, opts ...jetstream.WatchOpt,
) (jetstream.KeyWatcher, error) {
	return lasting(ctx, g.guard, checkEach(checkFilter, keys), g.watches,
		func(ctx context.Context) (jetstream.KeyWatcher, error) {
			return g.KeyValue.WatchFiltered(ctx, keys, opts...)
		})
}

func (g guardedKeyValue) ListKeysFiltered(ctx context.Context, filters ...string) (jetstream.KeyLister, error) {
	return lasting(ctx, g.guard, checkEach(checkFilter, filters), g.watches,
		func(ctx context.Context) (jetstream.KeyLister, error) {
			return g.KeyValue.ListKeysFiltered(ctx, filters...)
		})
}

func (g guardedKeyValue) History(
	ctx context.Context, key string, opts ...jetstream.WatchOpt,
) ([]jetstream.KeyValueEntry, error) {
	return unbounded(ctx, g.guard, CheckKey(key), g.watches,
		func(ctx context.Context) ([]jetstream.KeyValueEntry, error) {
			return g.KeyValue.History(ctx, key, opts...)
		})
}

func (g guardedObjects) Put(
	ctx context.Context, meta jetstream.ObjectMeta, content io.Reader,
) (*jetstream.ObjectInfo, error) {
	// The content can be read once only: what it needs is there before it is read.
	if _, err := repeated(ctx, g.guard, checkObject(meta.Name), filesSubjects, g.Status); err != nil {
		return nil, err
	}
	info, err := unbounded(ctx, g.guard, nil, filesSubjects,
		func(ctx context.Context) (*jetstream.ObjectInfo, error) { return g.ObjectStore.Put(ctx, meta, content) })
	g.up.wrote(filesStream, err)
	return info, err
}

func (g guardedObjects) PutBytes(ctx context.Context, name string, content []byte) (*jetstream.ObjectInfo, error) {
	return unbounded(ctx, g.guard, checkObject(name), filesSubjects,
		func(ctx context.Context) (*jetstream.ObjectInfo, error) {
			return g.ObjectStore.PutBytes(ctx, name, content)
		})
}

func (g guardedObjects) PutString(ctx context.Context, name, content string) (*jetstream.ObjectInfo, error) {
	return unbounded(ctx, g.guard, checkObject(name), filesSubjects,
		func(ctx context.Context) (*jetstream.ObjectInfo, error) {
			return g.ObjectStore.PutString(ctx, name, content)
		})
}

func (g guardedObjects) PutFile(ctx context.Context, path string) (*jetstream.ObjectInfo, error) {
	return unbounded(ctx, g.guard, checkObject(path), filesSubjects,
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
	return repeated(ctx, g.guard, checkObject(name), filesSubjects,
		func(ctx context.Context) (*jetstream.ObjectInfo, error) {
			return g.ObjectStore.GetInfo(ctx, name, opts...)
		})
}

func (g guardedObjects) UpdateMeta(ctx context.Context, name string, meta jetstream.ObjectMeta) error {
	return g.run(ctx, firstError(checkObject(name), checkObject(meta.Name)), filesSubjects,
		func(ctx context.Context) error { return g.ObjectStore.UpdateMeta(ctx, name, meta) })
}

func (g guardedObjects) Delete(ctx context.Context, name string) error {
	return g.write(ctx, checkObject(name), filesStream, filesSubjects,
		func(ctx context.Context) error { return g.ObjectStore.Delete(ctx, name) })
}

func (g guardedObjects) AddLink(
	ctx context.Context, name string, to *jetstream.ObjectInfo,
) (*jetstream.ObjectInfo, error) {
	return once(ctx, g.guard, checkObject(name), filesSubjects,
		func(ctx context.Context) (*jetstream.ObjectInfo, error) { return g.ObjectStore.AddLink(ctx, name, to) })
}

func (g guardedObjects) AddBucketLink(
	ctx context.Context, name string, to jetstream.ObjectStore,
) (*jetstream.ObjectInfo, error) {
	return once(ctx, g.guard, checkObject(name), filesSubjects,
		func(ctx context.Context) (*jetstream.ObjectInfo, error) {
			return g.ObjectStore.AddBucketLink(ctx, name, to)
		})
}

func (g guardedKeyValue) WatchAll(ctx context.Context, opts ...jetstream.WatchOpt) (jetstream.KeyWatcher, error) {
	return lasting(ctx, g.guard, nil, g.watches,
		again(g.up, func(ctx context.Context) (jetstream.KeyWatcher, error) { return g.KeyValue.WatchAll(ctx, opts...) }))
}
