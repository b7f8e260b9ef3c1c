package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/quota"
	"github.com/hookturn/hookturn/schemas"
)

const roomBytes = 8 << 20 // of the store in these tests

// fillShare writes entries of a tenant until one is a fault of a kind, and returns how many were stored.
func fillShare(t *testing.T, of *quota.Quota, kind fault.Kind, write func(n int) error) (stored int) {
	t.Helper()
	for ; stored < 200; stored++ {
		for range 10 { // a busy machine may take longer for the first count than a write waits
			_, err := of.Exceeded(testContext(t), "greedy")
			require.NoError(t, err)
		}
		err := write(stored)
		if f := fault.Of(err); f != nil {
			require.Equal(t, kind, f.Kind)
			require.Contains(t, f.Message, "its share")
			return stored
		}
		require.NoError(t, err)
	}
	t.Fatal("the share of the tenant was never full")
	return 0
}

// TestShares_TenantHasHalfOfAStore: a tenant fills half of a store, and another tenant stores all the same. What does not
// take more room is stored beyond the share.
func TestShares_TenantHasHalfOfAStore(t *testing.T) {
	t.Parallel()
	js, streams := setup(t, bus.StreamOptions{Sizes: map[string]int64{
		"queues": roomBytes, "users": roomBytes, "chats": roomBytes, "files": roomBytes,
	}})
	ctx, greedy, other := testContext(t), schemas.BotID{Tenant: "greedy", Bot: "shop"}, schemas.BotID{Tenant: "other", Bot: "shop"}
	large := bytes.Repeat([]byte("x"), 200<<10)
	const share = roomBytes / 2 / (200 << 10)

	q := NewQueues(js, streams)
	add := func(of schemas.BotID) func(n int) error {
		return func(n int) error { return q.Add(ctx, of.WithConversation("c"), "NOTIFY", fmt.Sprint(n), large) }
	}
	for n := range share / 2 {
		require.NoError(t, add(other)(100+n))
	}
	queued := fillShare(t, q.quota, fault.QueueFull, add(greedy))
	require.InDelta(t, share, queued, 1, "queued steps")
	require.NoError(t, add(other)(0))
	require.NoError(t, q.AddAgain(ctx, greedy.WithConversation("c"), "NOTIFY", "0", large), "it is queued already")
	require.Equal(t, fault.QueueFull, fault.Of(add(greedy)(queued)).Kind)

	u := NewUsers(js, streams)
	details := json.RawMessage(`{"a":"` + string(large) + `"}`)
	set := func(tenant string, to json.RawMessage) func(n int) error {
		return func(n int) error { _, err := u.Update(ctx, tenant, fmt.Sprint(n), replacing(to)); return err }
	}
	for n := range share / 2 {
		require.NoError(t, set("other", details)(100+n))
	}
	require.InDelta(t, share, fillShare(t, u.quota, fault.TooLarge, set("greedy", details)), 1, "user details")
	require.NoError(t, set("greedy", json.RawMessage(`{"a":"small"}`))(0), "less than before")
	require.NoError(t, set("greedy", nil)(1), "removed")
	require.NoError(t, set("other", details)(0))
	removal := replacing(json.RawMessage(`{"a":"small"}`))
	removal.Members, removal.Fence = json.RawMessage(`{"b":null}`), 1
	_, err := u.Update(ctx, "greedy", "0", removal)
	require.ErrorContains(t, err, "its share", "the mark of a member that the details do not have")
	c := NewChats(js, streams)
	remember := func(of schemas.BotID) func(n int) error {
		return func(n int) error { _, err := c.Remember(ctx, of, fmt.Sprint(n), string(large), 1); return err }
	}
	for n := range share / 2 {
		require.NoError(t, remember(other)(100+n))
	}
	require.InDelta(t, share, fillShare(t, c.quota, fault.QueueFull, remember(greedy)), 1, "chats")
	require.NoError(t, remember(other)(0))
	_, err = c.Remember(ctx, greedy, "0", "c-2", 2)
	require.NoError(t, err, "a chat that is known")
}

// TestFiles_TenantHasHalf: also when its files are stored at the same time.
func TestFiles_TenantHasHalf(t *testing.T) {
	t.Parallel()
	_, streams := setup(t, bus.StreamOptions{Sizes: map[string]int64{"files": 4 * roomBytes}})
	files, ctx, text := NewFiles(streams), testContext(t), strings.Repeat("x", 3<<20)
	put := func(ctx context.Context, files *Files, tenant string) error {
		_, err := files.Put(ctx, schemas.BotID{Tenant: tenant, Bot: "shop"}, File{Name: "f"}, strings.NewReader(text))
		return err
	}
	var storing sync.WaitGroup
	for range 12 {
		storing.Go(func() {
			if err := put(ctx, files, "greedy"); err != nil && (fault.Of(err) == nil || fault.Of(err).Kind != fault.QueueFull) {
				t.Errorf("neither stored nor beyond the share: %v", err)
			}
		})
	}
	storing.Wait()
	_ = fillShare(t, files.quota, fault.QueueFull, func(int) error { return put(ctx, files, "greedy") })
	status, err := streams.Files().Status(ctx)
	require.NoError(t, err)
	require.Less(t, status.Size(), uint64(2*roomBytes+4<<20))
	require.NoError(t, put(ctx, files, "other"))
	require.NoError(t, put(ctx, NewFiles(streams), "other"))
	later := NewFiles(streams)
	// One more can have room: what was stored of a file that had none is removed, and the first process may still count it.
	require.LessOrEqual(t, fillShare(t, later.quota, fault.QueueFull, func(int) error { return put(ctx, later, "greedy") }), 1)
	status, err = streams.Files().Status(ctx)
	require.NoError(t, err)
	require.Less(t, status.Size(), uint64(2*roomBytes+4<<20+2*len(text)), "with the two files of another tenant")
}
