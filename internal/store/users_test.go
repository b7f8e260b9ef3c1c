package store

import (
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
)

func TestUsers(t *testing.T) {
	t.Parallel()
	js, streams := setup(t, bus.StreamOptions{})
	u := NewUsers(js, streams)
	got, err := u.Get(testContext(t), "acme", "alice@example.com")
	require.NoError(t, err)
	require.Nil(t, got)

	set := func(value string) func(json.RawMessage) (json.RawMessage, error) {
		return func(json.RawMessage) (json.RawMessage, error) { return json.RawMessage(value), nil }
	}
	update := func(change func(json.RawMessage) (json.RawMessage, error)) error {
		_, err := u.Update(testContext(t), "acme", "alice@example.com", 0, "", change)
		return err
	}
	require.NoError(t, update(set(`{"a":1}`)))
	got, err = u.Get(testContext(t), "acme", "alice@example.com")
	require.NoError(t, err)
	require.JSONEq(t, `{"a":1}`, string(got))
	for _, other := range [][2]string{{"other", "alice@example.com"}, {"acme", "bob"}} {
		got, err = u.Get(testContext(t), other[0], other[1])
		require.NoError(t, err)
		require.Nil(t, got)
	}

	refused := errors.New("too large")
	require.ErrorIs(t, update(
		func(json.RawMessage) (json.RawMessage, error) { return nil, refused }), refused)
	require.NoError(t, update(
		func(json.RawMessage) (json.RawMessage, error) { return nil, nil }))
	got, err = u.Get(testContext(t), "acme", "alice@example.com")
	require.NoError(t, err)
	require.Nil(t, got)
	require.NoError(t, update(set(`{"b":1}`)), "after it was removed")

	_, err = u.Get(testContext(t), "a.b", "x")
	require.ErrorContains(t, err, "tenant")
}

func TestUsers_UpdatesAtOnceLoseNothing(t *testing.T) {
	t.Parallel()
	js, streams := setup(t, bus.StreamOptions{})
	u := NewUsers(js, streams)
	const writers, each = 4, 10
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				_, err := u.Update(testContext(t), "acme", "alice", 0, "", func(old json.RawMessage) (json.RawMessage, error) {
					n, _ := strconv.Atoi(string(old))
					return json.RawMessage(strconv.Itoa(n + 1)), nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := u.Get(testContext(t), "acme", "alice")
	require.NoError(t, err)
	require.Equal(t, strconv.Itoa(writers*each), string(got))
}

// A worker that was paused while newer events were handled must not overwrite what they stored.
func TestUsers_OlderWriteIsDropped(t *testing.T) {
	t.Parallel()
	js, streams := setup(t, bus.StreamOptions{})
	u, ctx := NewUsers(js, streams), testContext(t)
	write := func(fence int64, value json.RawMessage) string {
		stored, err := u.Update(ctx, "acme", "alice", fence, "", func(json.RawMessage) (json.RawMessage, error) { return value, nil })
		require.NoError(t, err)
		got, err := u.Get(ctx, "acme", "alice")
		require.NoError(t, err)
		require.Equal(t, string(got), string(stored), "what is returned is what is stored")
		return string(stored)
	}
	key, err := userKey("acme", "alice")
	require.NoError(t, err)
	_, err = streams.Bucket(bus.BucketUsers).Put(ctx, key, []byte(`"before fences"`))
	require.NoError(t, err)
	require.Equal(t, `"new"`, write(7, json.RawMessage(`"new"`)), "a value without a fence is the oldest")
	require.Equal(t, `"new"`, write(6, json.RawMessage(`"zombie"`)))
	require.Equal(t, `"again"`, write(7, json.RawMessage(`"again"`)), "the same event again")
	require.Equal(t, `"free"`, write(0, json.RawMessage(`"free"`)), "a write without order")
	require.Equal(t, `"free"`, write(6, json.RawMessage(`"zombie"`)), "the fence outlives it")
	require.Empty(t, write(8, nil))
	require.Empty(t, write(7, json.RawMessage(`"zombie"`)), "the fence outlives the removal")
	require.Equal(t, `"next"`, write(9, json.RawMessage(`"next"`)))
	entry, err := streams.Bucket(bus.BucketUsers).Get(ctx, key)
	require.NoError(t, err)
	require.Equal(t, `"next"`, string(entry.Value()), "an older release reads the value")
}

func TestUsers_UnchangedIsNotWritten(t *testing.T) {
	t.Parallel()
	js, streams := setup(t, bus.StreamOptions{})
	u, ctx := NewUsers(js, streams), testContext(t)
	write := func(fence int64, value string) (revision uint64) {
		_, err := u.Update(ctx, "acme", "alice", fence, "", func(json.RawMessage) (json.RawMessage, error) {
			return json.RawMessage(value), nil
		})
		require.NoError(t, err)
		key, err := userKey("acme", "alice")
		require.NoError(t, err)
		v, err := u.bucket.get(ctx, key)
		require.NoError(t, err)
		return v.revision
	}
	first := write(7, `{"a":1}`)
	require.Equal(t, first, write(7, `{"a":1}`))
	require.Equal(t, first, write(0, `{"a":1}`))
	newer := write(8, `{"a":1}`)
	require.Greater(t, newer, first, "a newer fence is stored")
	require.Greater(t, write(0, `{"a":2}`), newer)
}

// TestUsers_UndoRejectsAWriteOnItsWay: a write without an acknowledgement may still be stored after it was undone.
func TestUsers_UndoRejectsAWriteOnItsWay(t *testing.T) {
	t.Parallel()
	js, streams := setup(t, bus.StreamOptions{})
	u, ctx := NewUsers(js, streams), testContext(t)
	unchanged := func(old json.RawMessage) (json.RawMessage, error) { return old, nil }
	key, err := userKey("acme", "alice")
	require.NoError(t, err)
	for _, stored := range []json.RawMessage{nil, json.RawMessage(`{"a":1}`)} {
		_, err := u.Update(ctx, "acme", "alice", 7, "", func(json.RawMessage) (json.RawMessage, error) { return stored, nil })
		require.NoError(t, err)
		before, err := u.bucket.get(ctx, key)
		require.NoError(t, err)
		require.NoError(t, u.Undo(ctx, "acme", "alice", unchanged))
		late := fencedValue{data: []byte(`{"a":2}`), fence: 7, revision: before.revision}
		require.True(t, natsclient.IsConflict(u.bucket.put(ctx, key, late)))
		after, err := u.bucket.get(ctx, key)
		require.NoError(t, err)
		require.Equal(t, string(stored), string(after.data))
		require.Equal(t, before.fence, after.fence)
	}
}

// TestUsers_Settle: two attempts of one step wrote, and the engine has read the reply of the first.
func TestUsers_Settle(t *testing.T) {
	t.Parallel()
	js, streams := setup(t, bus.StreamOptions{})
	u, ctx := NewUsers(js, streams), testContext(t)
	write := func(fence int64, writer, value string) {
		_, err := u.Update(ctx, "acme", "alice", fence, writer, func(json.RawMessage) (json.RawMessage, error) {
			return json.RawMessage(value), nil
		})
		require.NoError(t, err)
	}
	settled := func() string {
		require.NoError(t, u.Settle(ctx, "acme", "alice", json.RawMessage(`{"a":1}`), "reply-1"))
		got, err := u.Get(ctx, "acme", "alice")
		require.NoError(t, err)
		return string(got)
	}
	require.Empty(t, settled(), "nothing was written")
	write(7, "reply-1", `{"a":1}`)
	write(8, "reply-1", `{"a":2}`)
	require.JSONEq(t, `{"a":1}`, settled())
	write(9, "reply-2", `{"a":3}`)
	require.JSONEq(t, `{"a":3}`, settled(), "a later step has changed them")
}
