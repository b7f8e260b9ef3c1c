package natsclient

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"
)

// guardedKeyValue is a bucket behind the guard.
type guardedKeyValue struct {
	jetstream.KeyValue
	guard

	stream string // its name
	root   string // first tokens of its subjects
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
	return written(ctx, g.guard, CheckKey(key), g.root, g.keyed(key),
		func(ctx context.Context) (uint64, error) { return g.KeyValue.Put(ctx, key, value) })
}

func (g guardedKeyValue) PutString(ctx context.Context, key, value string) (uint64, error) {
	return written(ctx, g.guard, CheckKey(key), g.root, g.keyed(key),
		func(ctx context.Context) (uint64, error) { return g.KeyValue.PutString(ctx, key, value) })
}

func (g guardedKeyValue) Create(
	ctx context.Context, key string, value []byte, opts ...jetstream.KVCreateOpt,
) (uint64, error) {
	return written(ctx, g.guard, CheckKey(key), g.root, func() []string { return append(g.reads(key), g.key(key)) },
		func(ctx context.Context) (uint64, error) { return g.KeyValue.Create(ctx, key, value, opts...) })
}

func (g guardedKeyValue) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	return written(ctx, g.guard, CheckKey(key), g.root, g.keyed(key),
		func(ctx context.Context) (uint64, error) { return g.KeyValue.Update(ctx, key, value, revision) })
}

func (g guardedKeyValue) Delete(ctx context.Context, key string, opts ...jetstream.KVDeleteOpt) error {
	return g.write(ctx, CheckKey(key), g.root, g.keyed(key),
		func(ctx context.Context) error { return g.KeyValue.Delete(ctx, key, opts...) })
}

func (g guardedKeyValue) Purge(ctx context.Context, key string, opts ...jetstream.KVDeleteOpt) error {
	return g.write(ctx, CheckKey(key), g.root, g.keyed(key),
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

func (g guardedKeyValue) WatchAll(ctx context.Context, opts ...jetstream.WatchOpt) (jetstream.KeyWatcher, error) {
	return lasting(ctx, g.guard, nil, g.watches,
		func(ctx context.Context) (jetstream.KeyWatcher, error) { return g.KeyValue.WatchAll(ctx, opts...) })
}

func (g guardedKeyValue) Status(ctx context.Context) (jetstream.KeyValueStatus, error) {
	return repeated(ctx, g.guard, nil, to("STREAM.INFO."+g.stream),
		func(ctx context.Context) (jetstream.KeyValueStatus, error) { return g.KeyValue.Status(ctx) })
}

// key returns the subject of a key.
func (g guardedKeyValue) key(key string) string {
	return g.root + "." + key
}

// keyed returns the subject of storing a key.
func (g guardedKeyValue) keyed(key string) uses {
	return func() []string { return []string{g.key(key)} }
}

// reads returns the subjects of reading a key.
func (g guardedKeyValue) reads(key string) []string {
	return []string{"DIRECT.GET." + g.stream + "." + g.key(key), "STREAM.MSG.GET." + g.stream}
}

// watches returns the subjects of reading all keys.
func (g guardedKeyValue) watches() []string {
	return []string{"STREAM.INFO." + g.stream, "CONSUMER.CREATE." + g.stream + ".>", "CONSUMER.CREATE." + g.stream}
}
