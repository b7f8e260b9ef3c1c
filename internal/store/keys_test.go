package store

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
)

// keyUser is a process that uses a shared key.
type keyUser struct {
	js      jetstream.JetStream
	streams bus.Streams
	ring    *Keyring

	mu   sync.Mutex
	keys []string
}

// startKeyUser starts a process on a server, which creates a key where none is stored. "": it only reads.
func startKeyUser(t *testing.T, s *server.Server, key string) *keyUser {
	t.Helper()
	nc, js, err := bus.Connect(testContext(t), natsclient.Login{URL: s.ClientURL()}, t.Name(), nil)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	u := &keyUser{js: js}
	u.streams, err = bus.Setup(testContext(t), js, bus.StreamOptions{})
	require.NoError(t, err)
	u.ring, err = NewKeys(js, u.streams).Share(testContext(t), u.key(key))
	require.NoError(t, err)
	return u
}

func (u *keyUser) key(created string) SharedKey {
	shared := SharedKey{Name: "callback", Life: time.Hour, Use: u.use}
	if created != "" {
		shared.Create = func() ([]byte, error) { return []byte(created), nil }
	}
	return shared
}

func (u *keyUser) use(keys [][]byte) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.keys = nil
	for _, key := range keys {
		u.keys = append(u.keys, string(key))
	}
	return nil
}

// used returns the keys: the one that signs first.
func (u *keyUser) used() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.keys
}

// look does what bus.Upkeep does every few seconds.
func (u *keyUser) look(t *testing.T) {
	t.Helper()
	require.NoError(t, bus.Ready(testContext(t), u.js))
}

// loseKeys deletes the bucket, as a NATS server that comes back empty. It purges the stream first: a server can recover
// messages of a deleted stream when a stream of the same name is created at once.
func loseKeys(t *testing.T, s *server.Server) {
	t.Helper()
	nc, js, err := bus.Connect(testContext(t), natsclient.Login{URL: s.ClientURL()}, t.Name(), nil)
	require.NoError(t, err)
	defer nc.Close()
	stream, err := js.Stream(testContext(t), "KV_"+bus.BucketKeys)
	require.NoError(t, err)
	require.NoError(t, stream.Purge(testContext(t)))
	require.NoError(t, js.DeleteStream(testContext(t), "KV_"+bus.BucketKeys))
}

func TestKeys_ProcessesThatStartTogetherAgreeOnAKey(t *testing.T) {
	t.Parallel()
	js, streams := setup(t, bus.StreamOptions{})
	ctx := testContext(t)
	var group sync.WaitGroup
	users, failed := make([]keyUser, 10), make([]error, 10)
	for i := range users {
		group.Go(func() { _, failed[i] = NewKeys(js, streams).Share(ctx, users[i].key(fmt.Sprint("key ", i))) })
	}
	group.Wait()
	require.NoError(t, errors.Join(failed...))
	for i := range users {
		require.Len(t, users[i].used(), 1)
		require.Regexp(t, "^key [0-9]$", users[i].used()[0])
		require.Equal(t, users[0].used(), users[i].used())
	}
	away := errors.New("no randomness")
	_, err := NewKeys(js, streams).Share(ctx, SharedKey{Name: "other", Create: func() ([]byte, error) { return nil, away }})
	require.ErrorIs(t, err, away)
}

// TestKeys_ReplacedWhileProcessesRun loses the bucket, and starts a process that stores another key before the one that runs
// looks.
func TestKeys_ReplacedWhileProcessesRun(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	running := startKeyUser(t, s, "k-1")
	loseKeys(t, s)
	started := startKeyUser(t, s, "k-2")
	require.Equal(t, []string{"k-1"}, running.used())
	require.Equal(t, []string{"k-2"}, started.used())
	running.look(t)
	require.Equal(t, []string{"k-2", "k-1"}, running.used(), "it signs with the stored key")
	started.look(t)
	require.Equal(t, []string{"k-2", "k-1"}, started.used(), "it learns the earlier key")
	require.Equal(t, []string{"k-2", "k-1"}, startKeyUser(t, s, "k-3").used(), "so does one that starts later")
	entry, err := started.streams.Bucket(bus.BucketKeys).Get(testContext(t), "callback")
	require.NoError(t, err)
	require.Equal(t, "k-2", string(entry.Value()), "a process of an earlier release reads the value alone")

	loseKeys(t, s)
	running.look(t)
	require.Equal(t, []string{"k-2", "k-1"}, running.used())
	require.Equal(t, []string{"k-2", "k-1"}, startKeyUser(t, s, "k-4").used(), "both keys were stored again")
}

// TestKeys_ReplacedByEachProcess starts three processes with a key of their own each, which they compare at the same time.
func TestKeys_ReplacedByEachProcess(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	var users []*keyUser
	for _, key := range []string{"k-1", "k-2", "k-3"} {
		users = append(users, startKeyUser(t, s, key))
		loseKeys(t, s)
	}
	for range 2 { // at the second look each process reads what all have stored at the first
		var looks sync.WaitGroup
		failed := make([]error, len(users))
		for i, u := range users {
			looks.Go(func() { failed[i] = bus.Ready(testContext(t), u.js) })
		}
		looks.Wait()
		require.NoError(t, errors.Join(failed...))
	}
	first := users[0].used()
	require.ElementsMatch(t, []string{"k-1", "k-2", "k-3"}, first)
	for _, u := range append(users, startKeyUser(t, s, "k-4")) {
		require.Equal(t, first[0], u.used()[0], "one key signs")
		require.ElementsMatch(t, first, u.used())
	}
}

// TestKeys_UnknownToken: a process compares its keys when a token comes that none of them opens.
func TestKeys_UnknownToken(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	running := startKeyUser(t, s, "k-1")
	loseKeys(t, s)
	started := startKeyUser(t, s, "k-2")
	var rereads sync.WaitGroup
	for range 20 {
		rereads.Go(func() { running.ring.Reread(testContext(t)) })
	}
	rereads.Wait()
	require.Equal(t, []string{"k-2", "k-1"}, running.used())
	started.ring.Reread(testContext(t))
	require.Equal(t, []string{"k-2", "k-1"}, started.used())

	for age, settled := range map[time.Duration]bool{0: false, keysSettle: true, -2 * keysSettle: true} {
		started.ring.stored = time.Now().Add(-age)
		started.ring.reread = time.Now().Add(time.Hour) // it compares once for calls at the same time
		require.Equal(t, settled, started.ring.Reread(testContext(t)), "another process can have an earlier key for a while")
	}
	started.ring.own.older, started.ring.stored = nil, time.Now()
	require.True(t, started.ring.Reread(testContext(t)), "the key of a new installation")
	s.Shutdown()
	s.WaitForShutdown()
	running.ring.stored = time.Now().Add(-keysSettle)
	require.False(t, running.ring.Reread(testContext(t)), "what is stored is not known")
	require.Equal(t, []string{"k-2", "k-1"}, running.used())
}

// TestKeys_OlderKeyExpires stores keys that were replaced: one is over, and is removed from the record.
func TestKeys_OlderKeyExpires(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	js := startKeyUser(t, s, "k-1").js
	ctx := testContext(t)
	stored, err := readKeys(ctx, js, "callback")
	require.NoError(t, err)
	now := time.Now()
	stored.older = []olderKey{{[]byte("k-a"), now.Add(time.Hour).Unix()}, {[]byte("k-b"), now.Add(-time.Second).Unix()}}
	require.NoError(t, writeKeys(ctx, js, "callback", stored))
	u := startKeyUser(t, s, "k-2")
	require.Equal(t, []string{"k-1", "k-a"}, u.used())
	u.look(t)
	again, err := readKeys(ctx, js, "callback")
	require.NoError(t, err)
	require.Equal(t, stored.older[:1], again.older)
	require.Equal(t, "k-1", string(again.current))
}

func TestKeys_ReaderStoresNothing(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	reader := startKeyUser(t, s, "")
	reader.look(t)
	require.Empty(t, reader.used())
	writer := startKeyUser(t, s, "k-1")
	reader.look(t)
	require.Equal(t, []string{"k-1"}, reader.used())
	loseKeys(t, s)
	reader.look(t)
	require.Equal(t, []string{"k-1"}, reader.used(), "it keeps the key until another process stores one")
	stored, err := readKeys(testContext(t), reader.js, "callback")
	require.NoError(t, err)
	require.Nil(t, stored.current)
	second := startKeyUser(t, s, "k-2")
	reader.look(t)
	require.Equal(t, []string{"k-2", "k-1"}, reader.used())
	second.look(t)
	require.Equal(t, []string{"k-2"}, second.used())
	writer.look(t)
	second.look(t)
	require.Equal(t, []string{"k-2", "k-1"}, second.used())
}

// TestKeys_InvalidStoredKey: a key that cannot be used is not taken over.
func TestKeys_InvalidStoredKey(t *testing.T) {
	t.Parallel()
	u := startKeyUser(t, natstest.Start(t), "k-1")
	bucket := u.streams.Bucket(bus.BucketKeys)
	_, err := bucket.PutString(testContext(t), "callback", "longer")
	require.NoError(t, err)
	require.ErrorContains(t, u.ring.look(testContext(t)), "has 6 bytes, expected 3")
	require.Equal(t, []string{"k-1"}, u.used())
	require.NoError(t, bucket.Delete(testContext(t), "callback"))
	u.look(t)
	entry, err := bucket.Get(testContext(t), "callback")
	require.NoError(t, err)
	require.Equal(t, "k-1", string(entry.Value()))
}

func TestKeyRecord_Merge(t *testing.T) {
	t.Parallel()
	now, retired := time.Unix(1000, 0), time.Unix(2000, 0)
	record := func(current string, older ...olderKey) keyRecord {
		return keyRecord{current: []byte(current), older: older}
	}
	older := func(key string, until int64) olderKey { return olderKey{[]byte(key), until} }
	var many []olderKey
	for i := range int64(20) {
		many = append(many, older(fmt.Sprintf("%c", 'A'+i), 1900-i))
	}
	for name, c := range map[string]struct{ stored, own, want keyRecord }{
		"the same":          {record("a"), record("a"), record("a")},
		"starts":            {record("a", older("b", 1500)), keyRecord{}, record("a", older("b", 1500))},
		"replaced":          {record("b"), record("a"), record("b", older("a", 2000))},
		"lost":              {keyRecord{}, record("a", older("b", 1500)), record("a", older("b", 1500))},
		"expired":           {record("a", older("b", 1000), older("c", 1001)), record("a"), record("a", older("c", 1001))},
		"expired here":      {record("a"), record("a", older("b", 1000)), record("a")},
		"lives longer":      {record("a", older("b", 1500)), record("b"), record("a", older("b", 2000))},
		"not shortened":     {record("a", older("b", 3000)), record("b"), record("a", older("b", 3000))},
		"signs again":       {record("b"), record("a", older("b", 1500)), record("b", older("a", 2000))},
		"of another length": {record("a", older("bb", 1500)), record("a"), record("a")},
		"more than are stored": {
			record("a", many...), record("b"), record("a", append([]olderKey{older("b", 2000)}, many[:7]...)...),
		},
	} {
		got := c.stored.merge(c.own, now, retired)
		require.True(t, c.want.equal(got), "%s: %s %s", name, got.current, got.older)
	}
}
