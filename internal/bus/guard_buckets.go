package bus

import (
	"context"
	"io"

	"github.com/nats-io/nats.go/jetstream"
)

// guardedKeyValue is a bucket behind the guard.
type guardedKeyValue struct {
	jetstream.KeyValue

	up     *upkeep
	rights *rights
}

// guardedObjects is an object store behind the guard.
type guardedObjects struct {
	jetstream.ObjectStore

	up     *upkeep
	rights *rights
}

func (g guardedKeyValue) Get(ctx context.Context, key string) (_ jetstream.KeyValueEntry, err error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, g.reads(key)...)
	defer end(&err)
	return repeated(ctx, g.up, func() (jetstream.KeyValueEntry, error) { return g.KeyValue.Get(ctx, key) })
}

func (g guardedKeyValue) GetRevision(
	ctx context.Context, key string, revision uint64,
) (_ jetstream.KeyValueEntry, err error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, "STREAM.MSG.GET.KV_"+g.Bucket(), "DIRECT.GET.KV_"+g.Bucket())
	defer end(&err)
	return g.KeyValue.GetRevision(ctx, key, revision)
}

func (g guardedKeyValue) Put(ctx context.Context, key string, value []byte) (_ uint64, err error) {
	if err := CheckKey(key); err != nil {
		return 0, err
	}
	ctx, end := g.rights.begin(ctx, g.key(key))
	defer end(&err)
	return written(ctx, g.up, "KV_"+g.Bucket(), func() (uint64, error) { return g.KeyValue.Put(ctx, key, value) })
}

func (g guardedKeyValue) PutString(ctx context.Context, key, value string) (_ uint64, err error) {
	if err := CheckKey(key); err != nil {
		return 0, err
	}
	ctx, end := g.rights.begin(ctx, g.key(key))
	defer end(&err)
	return written(ctx, g.up, "KV_"+g.Bucket(), func() (uint64, error) { return g.KeyValue.PutString(ctx, key, value) })
}

func (g guardedKeyValue) Create(
	ctx context.Context, key string, value []byte, opts ...jetstream.KVCreateOpt,
) (_ uint64, err error) {
	if err := CheckKey(key); err != nil {
		return 0, err
	}
	ctx, end := g.rights.begin(ctx, append(g.reads(key), g.key(key))...)
	defer end(&err)
	return written(ctx, g.up, "KV_"+g.Bucket(), func() (uint64, error) { return g.KeyValue.Create(ctx, key, value, opts...) })
}

func (g guardedKeyValue) Update(ctx context.Context, key string, value []byte, revision uint64) (_ uint64, err error) {
	if err := CheckKey(key); err != nil {
		return 0, err
	}
	ctx, end := g.rights.begin(ctx, g.key(key))
	defer end(&err)
	return written(ctx, g.up, "KV_"+g.Bucket(), func() (uint64, error) { return g.KeyValue.Update(ctx, key, value, revision) })
}

func (g guardedKeyValue) Delete(ctx context.Context, key string, opts ...jetstream.KVDeleteOpt) (err error) {
	if err := CheckKey(key); err != nil {
		return err
	}
	ctx, end := g.rights.begin(ctx, g.key(key))
	defer end(&err)
	return g.up.write(ctx, "KV_"+g.Bucket(), func() error { return g.KeyValue.Delete(ctx, key, opts...) })
}

func (g guardedKeyValue) Purge(ctx context.Context, key string, opts ...jetstream.KVDeleteOpt) (err error) {
	if err := CheckKey(key); err != nil {
		return err
	}
	ctx, end := g.rights.begin(ctx, g.key(key))
	defer end(&err)
	return g.up.write(ctx, "KV_"+g.Bucket(), func() error { return g.KeyValue.Purge(ctx, key, opts...) })
}

func (g guardedKeyValue) Watch(
	ctx context.Context, keys string, opts ...jetstream.WatchOpt,
) (_ jetstream.KeyWatcher, err error) {
	if err := checkFilter(keys); err != nil {
		return nil, err
	}
	ctx, end, _ := g.rights.beginLasting(ctx, g.watches()...)
	defer end(&err)
	return g.KeyValue.Watch(ctx, keys, opts...)
}

func (g guardedKeyValue) WatchFiltered(
	ctx context.Context, keys []string, opts ...jetstream.WatchOpt,
) (_ jetstream.KeyWatcher, err error) {
	if err := checkEach(checkFilter, keys); err != nil {
		return nil, err
	}
	ctx, end, _ := g.rights.beginLasting(ctx, g.watches()...)
	defer end(&err)
	return g.KeyValue.WatchFiltered(ctx, keys, opts...)
}

func (g guardedKeyValue) ListKeysFiltered(ctx context.Context, filters ...string) (_ jetstream.KeyLister, err error) {
	if err := checkEach(checkFilter, filters); err != nil {
		return nil, err
	}
	ctx, end, _ := g.rights.beginLasting(ctx, g.watches()...)
	defer end(&err)
	return g.KeyValue.ListKeysFiltered(ctx, filters...)
}

func (g guardedKeyValue) History(
	ctx context.Context, key string, opts ...jetstream.WatchOpt,
) (_ []jetstream.KeyValueEntry, err error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, g.watches()...)
	defer end(&err)
	return g.KeyValue.History(ctx, key, opts...)
}

func (g guardedObjects) Put(
	ctx context.Context, meta jetstream.ObjectMeta, content io.Reader,
) (_ *jetstream.ObjectInfo, err error) {
	if err := checkObject(meta.Name); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, filesSubjects()...)
	defer end(&err)
	// The content can be read once only: what it needs is there before it is read.
	if err := g.up.repeat(ctx, func() error { _, err := g.Status(ctx); return err }); err != nil {
		return nil, err
	}
	info, err := g.ObjectStore.Put(ctx, meta, content)
	if g.up != nil {
		g.up.wrote("OBJ_"+BucketFiles, err)
	}
	return info, err
}

func (g guardedObjects) PutBytes(ctx context.Context, name string, content []byte) (_ *jetstream.ObjectInfo, err error) {
	if err := checkObject(name); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, filesSubjects()...)
	defer end(&err)
	return g.ObjectStore.PutBytes(ctx, name, content)
}

func (g guardedObjects) PutString(ctx context.Context, name, content string) (_ *jetstream.ObjectInfo, err error) {
	if err := checkObject(name); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, filesSubjects()...)
	defer end(&err)
	return g.ObjectStore.PutString(ctx, name, content)
}

func (g guardedObjects) PutFile(ctx context.Context, path string) (_ *jetstream.ObjectInfo, err error) {
	if err := checkObject(path); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, filesSubjects()...)
	defer end(&err)
	return g.ObjectStore.PutFile(ctx, path)
}

func (g guardedObjects) Get(
	ctx context.Context, name string, opts ...jetstream.GetObjectOpt,
) (_ jetstream.ObjectResult, err error) {
	if err := checkObject(name); err != nil {
		return nil, err
	}
	ctx, end, _ := g.rights.beginLasting(ctx, filesSubjects()...)
	defer end(&err)
	return repeated(ctx, g.up, func() (jetstream.ObjectResult, error) { return g.ObjectStore.Get(ctx, name, opts...) })
}

func (g guardedObjects) GetBytes(ctx context.Context, name string, opts ...jetstream.GetObjectOpt) (_ []byte, err error) {
	if err := checkObject(name); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, filesSubjects()...)
	defer end(&err)
	return g.ObjectStore.GetBytes(ctx, name, opts...)
}

func (g guardedObjects) GetString(ctx context.Context, name string, opts ...jetstream.GetObjectOpt) (_ string, err error) {
	if err := checkObject(name); err != nil {
		return "", err
	}
	ctx, end := g.rights.begin(ctx, filesSubjects()...)
	defer end(&err)
	return g.ObjectStore.GetString(ctx, name, opts...)
}

func (g guardedObjects) GetFile(ctx context.Context, name, path string, opts ...jetstream.GetObjectOpt) (err error) {
	if err := checkObject(name); err != nil {
		return err
	}
	ctx, end := g.rights.begin(ctx, filesSubjects()...)
	defer end(&err)
	return g.ObjectStore.GetFile(ctx, name, path, opts...)
}

func (g guardedObjects) GetInfo(
	ctx context.Context, name string, opts ...jetstream.GetObjectInfoOpt,
) (_ *jetstream.ObjectInfo, err error) {
	if err := checkObject(name); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, filesSubjects()...)
	defer end(&err)
	return repeated(ctx, g.up, func() (*jetstream.ObjectInfo, error) { return g.ObjectStore.GetInfo(ctx, name, opts...) })
}

func (g guardedObjects) UpdateMeta(ctx context.Context, name string, meta jetstream.ObjectMeta) (err error) {
	if err := firstError(checkObject(name), checkObject(meta.Name)); err != nil {
		return err
	}
	ctx, end := g.rights.begin(ctx, filesSubjects()...)
	defer end(&err)
	return g.ObjectStore.UpdateMeta(ctx, name, meta)
}

func (g guardedObjects) Delete(ctx context.Context, name string) (err error) {
	if err := checkObject(name); err != nil {
		return err
	}
	ctx, end := g.rights.begin(ctx, filesSubjects()...)
	defer end(&err)
	return g.up.write(ctx, "OBJ_"+BucketFiles, func() error { return g.ObjectStore.Delete(ctx, name) })
}

func (g guardedObjects) AddLink(
	ctx context.Context, name string, to *jetstream.ObjectInfo,
) (_ *jetstream.ObjectInfo, err error) {
	if err := checkObject(name); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, filesSubjects()...)
	defer end(&err)
	return g.ObjectStore.AddLink(ctx, name, to)
}

func (g guardedObjects) AddBucketLink(
	ctx context.Context, name string, to jetstream.ObjectStore,
) (_ *jetstream.ObjectInfo, err error) {
	if err := checkObject(name); err != nil {
		return nil, err
	}
	ctx, end := g.rights.begin(ctx, filesSubjects()...)
	defer end(&err)
	return g.ObjectStore.AddBucketLink(ctx, name, to)
}

// repeated is upkeep.repeat for an operation with a result.
func repeated[T any](ctx context.Context, u *upkeep, operation func() (T, error)) (T, error) {
	var result T
	err := u.repeat(ctx, func() (err error) {
		result, err = operation()
		return err
	})
	return result, err
}

// written is upkeep.write for an operation with a result.
func written[T any](ctx context.Context, u *upkeep, stream string, operation func() (T, error)) (T, error) {
	var result T
	err := u.write(ctx, stream, func() (err error) {
		result, err = operation()
		return err
	})
	return result, err
}

func (g guardedKeyValue) WatchAll(ctx context.Context, opts ...jetstream.WatchOpt) (_ jetstream.KeyWatcher, err error) {
	ctx, end, _ := g.rights.beginLasting(ctx, g.watches()...)
	defer end(&err)
	return repeated(ctx, g.up, func() (jetstream.KeyWatcher, error) { return g.KeyValue.WatchAll(ctx, opts...) })
}
