package store

import (
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
)

func TestUsers(t *testing.T) {
	t.Parallel()
	js, streams := setup(t, bus.StreamOptions{})
	u := NewUsers(js, streams)
	got, err := u.Get(testContext(t), "acme", "alice@example.com")
	require.NoError(t, err)
	require.Nil(t, got)

	update := func(w UserUpdate) error {
		_, err := u.Update(testContext(t), "acme", "alice@example.com", w)
		return err
	}
	require.NoError(t, update(replacing(json.RawMessage(`{"a":1}`))))
	got, err = u.Get(testContext(t), "acme", "alice@example.com")
	require.NoError(t, err)
	require.JSONEq(t, `{"a":1}`, string(got))
	for _, other := range [][2]string{{"other", "alice@example.com"}, {"acme", "bob"}} {
		got, err = u.Get(testContext(t), other[0], other[1])
		require.NoError(t, err)
		require.Nil(t, got)
	}

	refused := errors.New("too large")
	require.ErrorIs(t, update(UserUpdate{
		Members: json.RawMessage(`{}`), Merge: func(_, _ json.RawMessage) (json.RawMessage, error) { return nil, refused },
	}), refused)
	require.NoError(t, update(replacing(nil)))
	got, err = u.Get(testContext(t), "acme", "alice@example.com")
	require.NoError(t, err)
	require.Nil(t, got)
	require.NoError(t, update(replacing(json.RawMessage(`{"b":1}`))), "after it was removed")

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
				_, err := u.Update(testContext(t), "acme", "alice", UserUpdate{
					Members: json.RawMessage(`{}`),
					Merge: func(old, _ json.RawMessage) (json.RawMessage, error) {
						n, _ := strconv.Atoi(string(old))
						return json.RawMessage(strconv.Itoa(n + 1)), nil
					},
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
