package store

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

// hostile are texts that a stranger may send where hookturn expects an id.
func hostile() map[string]string {
	return map[string]string{
		"long": strings.Repeat("x", 3000), "very long": strings.Repeat("x.", 5000) + "x", "space": "a b", "line end": "a\r\nPUB b 0\r\n",
		"nul": "a\x00b", "wildcard": "a.*.b", "all": ">", "empty token": "a..b", "dot": ".", "not ascii": "ä", "not utf-8": "\xff",
		"percent": "a%20b", "quote": `a"b`,
	}
}

// TestStore_HostileIDsLeaveTheConnectionOpen passes every hostile text to each store that takes a text from outside as
// it is.
func TestStore_HostileIDsLeaveTheConnectionOpen(t *testing.T) {
	t.Parallel()
	js, s := setup(t, bus.StreamOptions{})
	ctx, files := testContext(t), NewFiles(s)
	shop := schemas.BotID{Tenant: "acme", Bot: "shop"}
	for name, text := range hostile() {
		_, _, err := files.Get(ctx, shop, text)
		require.ErrorIs(t, err, ErrNoFile, name)
		require.ErrorIs(t, files.Delete(ctx, shop, text), ErrNoFile, name)
		_, err = NewClaims(s).Claim(ctx, "acme", text)
		require.Error(t, err, name)
		_, err = NewChats(js, s).Conversation(ctx, shop, text)
		require.Error(t, err, name)
		_, err = NewChannels(s).Put(ctx, text, nil, 0)
		require.Error(t, err, name)
		require.NoError(t, bus.Ready(ctx, js), name)
		require.False(t, js.Conn().IsClosed(), name)
	}
}

func TestStore_LongIdentityFitsKeys(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 64)
	owner := schemas.BotID{Tenant: long, Bot: long}
	require.NoError(t, bus.CheckKey(fileName(owner, uuid.NewString())))
	require.NoError(t, bus.CheckKey(endpointKey(owner, "https://x.example/")))
	require.NoError(t, bus.CheckKey(queueSubject(owner, "a step's name")))
}

func FuzzKeys(f *testing.F) {
	for _, text := range hostile() {
		f.Add(text, text)
	}
	owner := schemas.BotID{Tenant: "t", Bot: "b"}
	f.Fuzz(func(t *testing.T, id, name string) {
		require.NoError(t, bus.CheckKey(queueSubject(owner, name)))
		require.NoError(t, bus.CheckKey(endpointKey(owner, name)))
		if IsFileID(id) {
			require.NoError(t, bus.CheckKey(fileName(owner, id)))
		}
	})
}
