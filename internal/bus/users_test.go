package bus

import (
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUsers(t *testing.T) {
	t.Parallel()
	_, _, streams := setup(t, StreamOptions{})
	u := NewUsers(streams)
	got, err := u.Get(testContext(t), "acme", "alice@example.com")
	require.NoError(t, err)
	require.Nil(t, got)

	set := func(value string) func(json.RawMessage) (json.RawMessage, error) {
		return func(json.RawMessage) (json.RawMessage, error) { return json.RawMessage(value), nil }
	}
	require.NoError(t, u.Update(testContext(t), "acme", "alice@example.com", set(`{"a":1}`)))
	got, err = u.Get(testContext(t), "acme", "alice@example.com")
	require.NoError(t, err)
	require.JSONEq(t, `{"a":1}`, string(got))
	for _, other := range [][2]string{{"other", "alice@example.com"}, {"acme", "bob"}} {
		got, err = u.Get(testContext(t), other[0], other[1])
		require.NoError(t, err)
		require.Nil(t, got)
	}

	refused := errors.New("too large")
	require.ErrorIs(t, u.Update(testContext(t), "acme", "alice@example.com",
		func(json.RawMessage) (json.RawMessage, error) { return nil, refused }), refused)
	require.NoError(t, u.Update(testContext(t), "acme", "alice@example.com",
		func(json.RawMessage) (json.RawMessage, error) { return nil, nil }))
	got, err = u.Get(testContext(t), "acme", "alice@example.com")
	require.NoError(t, err)
	require.Nil(t, got)
	require.NoError(t, u.Update(testContext(t), "acme", "alice@example.com", set(`{"b":1}`)), "after it was removed")

	_, err = u.Get(testContext(t), "a.b", "x")
	require.ErrorContains(t, err, "tenant")
}

func TestUpdatesAtOnceLoseNothing(t *testing.T) {
	t.Parallel()
	_, _, streams := setup(t, StreamOptions{})
	u := NewUsers(streams)
	const writers, each = 4, 10
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				err := u.Update(testContext(t), "acme", "alice", func(old json.RawMessage) (json.RawMessage, error) {
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
