package store

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/strictjson"
)

// userBundle is the details of one user, and the steps that write them.
type userBundle struct {
	*Users

	t       *testing.T
	js      jetstream.JetStream
	streams bus.Streams
	key     string
}

func setupUser(t *testing.T) userBundle {
	t.Helper()
	js, streams := setup(t, bus.StreamOptions{})
	key, err := userKey("acme", "alice")
	require.NoError(t, err)
	return userBundle{Users: NewUsers(js, streams), t: t, js: js, streams: streams, key: key}
}

func (b userBundle) ctx() context.Context { return testContext(b.t) }

// step is an update by the step of a reply that began at a fence.
func (b userBundle) step(writer string, fence int64, update string) UserDetails {
	b.t.Helper()
	after, err := b.Update(b.ctx(), "acme", "alice", UserUpdate{
		Members: json.RawMessage(update), Fence: fence, Writer: writer,
		Merge: func(old, update json.RawMessage) (json.RawMessage, error) {
			if old == nil {
				old = json.RawMessage(`{}`)
			}
			return strictjson.Merge(old, update)
		},
	})
	require.NoError(b.t, err)
	require.Equal(b.t, string(after.Details), b.read(), "what is returned is what is stored")
	return after
}

func (b userBundle) read() string {
	b.t.Helper()
	got, err := b.Get(b.ctx(), "acme", "alice")
	require.NoError(b.t, err)
	return string(got)
}

func (b userBundle) stored() fencedValue {
	b.t.Helper()
	v, err := b.bucket.get(b.ctx(), b.key)
	require.NoError(b.t, err)
	return v
}

// earlierRelease stores details as a release without marks of members does.
func (b userBundle) earlierRelease(writer string, fence int64, details string) {
	b.t.Helper()
	m := nats.NewMsg("$KV." + bus.BucketUsers + "." + b.key)
	m.Data = []byte(details)
	m.Header.Set(headerFence, fmt.Sprint(fence))
	m.Header.Set(headerWriter, writer)
	_, err := b.js.PublishMsg(b.ctx(), m)
	require.NoError(b.t, err)
}

// TestUsers_StepsSideBySide: a step that began before another one and ends behind it loses none of its members.
func TestUsers_StepsSideBySide(t *testing.T) {
	t.Parallel()
	b := setupUser(t)
	b.step("B", 8, `{"city":"Bremen","name":null}`)
	after := b.step("A", 7, `{"city":"Delft","phone":"1"}`)
	require.JSONEq(t, `{"city":"Bremen","phone":"1"}`, string(after.Details))
	require.JSONEq(t, `{"phone":"1"}`, string(after.Written))
	require.Equal(t, 1, after.Dropped)

	after = b.step("A", 7, `{"name":"Ann"}`)
	require.JSONEq(t, `{"city":"Bremen","phone":"1"}`, string(after.Details), "a member that a later step removed")
	require.Nil(t, after.Written)
	require.Equal(t, 1, after.Dropped)

	after = b.step("A", 7, `{"city":"Bremen","name":null,"phone":"1"}`)
	require.Zero(t, after.Dropped, "what is stored has the same values")
	require.JSONEq(t, `{"city":"Bremen","phone":"2"}`, string(b.step("C", 9, `{"phone":"2"}`).Details))
	require.Equal(t, int64(9), b.stored().fence, "for earlier releases")
}

// TestUsers_OlderWriteIsDropped: a worker that was paused while newer events were handled overwrites nothing of theirs.
func TestUsers_OlderWriteIsDropped(t *testing.T) {
	t.Parallel()
	b := setupUser(t)
	_, err := b.streams.Bucket(bus.BucketUsers).Put(b.ctx(), b.key, []byte(`{"a":"before fences"}`))
	require.NoError(t, err)
	for _, c := range []struct {
		fence      int64
		write      string
		want, note string
	}{
		{7, `{"a":"new"}`, `{"a":"new"}`, "a value without a fence is the oldest"},
		{6, `{"a":"paused"}`, `{"a":"new"}`, "older"},
		{7, `{"a":"again"}`, `{"a":"again"}`, "the same event again"},
		{0, `{"a":"free"}`, `{"a":"free"}`, "a write without order"},
		{6, `{"a":"paused"}`, `{"a":"free"}`, "the fence outlives it"},
		{8, `{"a":null}`, `{}`, "a removal"},
		{7, `{"a":"paused"}`, `{}`, "the fence outlives the removal"},
		{9, `{"a":"next"}`, `{"a":"next"}`, "newer"},
	} {
		require.JSONEq(t, c.want, string(b.step("", c.fence, c.write).Details), c.note)
	}
	entry, err := b.streams.Bucket(bus.BucketUsers).Get(b.ctx(), b.key)
	require.NoError(t, err)
	require.JSONEq(t, `{"a":"next"}`, string(entry.Value()), "an earlier release reads the value")
}

// TestUsers_EarlierReleaseBeside: a release without marks of members writes in between. Its fence is that of all members.
func TestUsers_EarlierReleaseBeside(t *testing.T) {
	t.Parallel()
	b := setupUser(t)
	b.step("A", 5, `{"a":1}`)
	b.earlierRelease("B", 8, `{"a":1,"b":1}`)
	require.JSONEq(t, `{"a":1,"b":1}`, string(b.step("C", 7, `{"a":2,"c":2}`).Details))
	require.JSONEq(t, `{"a":9,"b":1}`, string(b.step("D", 9, `{"a":9}`).Details))
	require.JSONEq(t, `{"a":9,"b":1}`, string(b.step("C", 7, `{"b":2}`).Details), "also behind a write of this release")
	require.NoError(t, b.Undo(b.ctx(), "acme", "alice", "B", map[string]json.RawMessage{"a": nil, "b": nil}))
	require.JSONEq(t, `{"a":9}`, b.read(), "what the earlier release wrote is undone")
}

// TestUsers_MarksAreBounded: of more members than have marks, the oldest have one fence together.
func TestUsers_MarksAreBounded(t *testing.T) {
	t.Parallel()
	b := setupUser(t)
	for n := range int64(marksMax + 10) {
		b.step("A", 100+n, fmt.Sprintf(`{"a%d":null}`, n))
	}
	require.Len(t, marksOf(b.stored()), marksMax+1)
	require.Less(t, len(b.stored().members), 4<<10+512)
	require.JSONEq(t, `{}`, string(b.step("B", 108, `{"a0":1,"other":1}`).Details), "older than a write to one of them")
	require.JSONEq(t, `{"a0":1}`, string(b.step("B", 109, `{"a0":1,"a50":1}`).Details))
}

func TestUsers_UnchangedIsNotWritten(t *testing.T) {
	t.Parallel()
	b := setupUser(t)
	write := func(fence int64, update string) uint64 {
		b.step("", fence, update)
		return b.stored().revision
	}
	first := write(7, `{"a":1}`)
	require.Equal(t, first, write(7, `{"a":1}`))
	require.Equal(t, first, write(0, `{"a":1}`))
	require.Equal(t, first, write(9, `{}`))
	require.Equal(t, first, write(6, `{"a":2}`))
	newer := write(8, `{"a":1}`)
	require.Greater(t, newer, first, "a newer fence is stored")
	require.Greater(t, write(0, `{"a":2}`), newer)
}

// TestUsers_UndoOwnWriteOnly: a worker that goes on after a pause undoes its write, and nothing that another step has
// written meanwhile, be it the same value.
func TestUsers_UndoOwnWriteOnly(t *testing.T) {
	t.Parallel()
	b := setupUser(t)
	b.step("A", 7, `{"phone":"1","verified":true}`)
	b.step("B", 8, `{"verified":true}`)
	undone := map[string]json.RawMessage{"phone": json.RawMessage(`"0"`), "verified": nil, "other": json.RawMessage(`1`)}
	require.NoError(t, b.Undo(b.ctx(), "acme", "alice", "A", undone))
	require.JSONEq(t, `{"phone":"0","verified":true}`, b.read())
	b.step("C", 6, `{"phone":"6"}`)
	require.JSONEq(t, `{"phone":"0","verified":true}`, b.read(), "the order stays")

	b.step("D", 9, `{"verified":null}`)
	undone = map[string]json.RawMessage{"verified": json.RawMessage(`true`)}
	require.NoError(t, b.Undo(b.ctx(), "acme", "alice", "D", undone))
	require.JSONEq(t, `{"phone":"0","verified":true}`, b.read(), "a removal is undone")
}

// TestUsers_UndoUnreadable: details that hookturn did not write stay as they are.
func TestUsers_UndoUnreadable(t *testing.T) {
	t.Parallel()
	b := setupUser(t)
	b.earlierRelease("A", 7, `[]`)
	require.ErrorIs(t, b.Undo(b.ctx(), "acme", "alice", "A", map[string]json.RawMessage{"a": nil}), ErrUnreadable)
	require.Equal(t, `[]`, b.read())
}

// TestUsers_UndoRejectsAWriteOnItsWay: a write without an acknowledgement may still be stored after it was undone.
func TestUsers_UndoRejectsAWriteOnItsWay(t *testing.T) {
	t.Parallel()
	b := setupUser(t)
	for _, update := range []string{"", `{"a":1}`} {
		if update != "" {
			b.step("B", 7, update)
		}
		before := b.stored()
		require.NoError(t, b.Undo(b.ctx(), "acme", "alice", "A", map[string]json.RawMessage{"a": nil}))
		late := fencedValue{data: []byte(`{"a":2}`), fence: 7, revision: before.revision}
		require.True(t, natsclient.IsConflict(b.bucket.put(b.ctx(), b.key, late)))
		require.Equal(t, update, b.read())
		require.Equal(t, before.fence, b.stored().fence)
	}
}

// TestUsers_Settle: two attempts of one step wrote, and the engine has read the reply of the first.
func TestUsers_Settle(t *testing.T) {
	t.Parallel()
	b := setupUser(t)
	settled := func() string {
		require.NoError(t, b.Settle(b.ctx(), "acme", "alice", json.RawMessage(`{"a":1}`), "A"))
		return b.read()
	}
	require.Empty(t, settled(), "nothing was written")
	b.step("A", 7, `{"a":1}`)
	b.step("A", 8, `{"a":2,"b":2}`)
	require.JSONEq(t, `{"a":1}`, settled())
	b.step("A", 8, `{"a":2,"b":2}`)
	b.step("B", 9, `{"b":3,"c":3}`)
	require.JSONEq(t, `{"a":1,"b":3,"c":3}`, settled(), "a later step has changed the others")
	b.earlierRelease("A", 10, `{"a":4,"b":4}`)
	require.JSONEq(t, `{"a":1}`, settled(), "by an earlier release")
}

// TestUsers_ClockAhead: the clock of Temporal was ahead, and was corrected. The steps after that are not older, whether the
// fence is that of a member or of all.
func TestUsers_ClockAhead(t *testing.T) {
	t.Parallel()
	b := setupUser(t)
	ahead := time.Now().Add(10 * time.Minute).UnixNano()
	b.step("A", ahead, `{"a":1,"b":1}`)
	require.NoError(t, b.Undo(b.ctx(), "acme", "alice", "C", nil))
	require.NotContains(t, b.stored().members, fmt.Sprint(ahead), "stored again, it is as it was read")
	require.JSONEq(t, `{"a":2,"b":1}`, string(b.step("B", time.Now().UnixNano(), `{"a":2}`).Details))
	b.earlierRelease("C", ahead, `{"a":3}`)
	require.JSONEq(t, `{"a":4}`, string(b.step("D", time.Now().UnixNano(), `{"a":4}`).Details))
}

func TestCredible(t *testing.T) {
	t.Parallel()
	stored := time.Now()
	for ahead, want := range map[time.Duration]time.Duration{
		-time.Hour: -time.Hour, 0: 0, clockSlack: clockSlack, clockSlack + 1: 0, time.Hour: 0,
	} {
		require.Equal(t, stored.Add(want).UnixNano(), credible(stored.Add(ahead).UnixNano(), stored), ahead)
	}
	require.Equal(t, int64(1)<<62, credible(1<<62, time.Time{}), "not known when it was stored")
}
