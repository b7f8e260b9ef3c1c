package bot_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/schemas"
)

// TestSet_Digest: equal files have equal digests, and a change of one bot's file changes its part alone.
func TestSet_Digest(t *testing.T) {
	t.Parallel()
	one, two := setupStore(t, t.TempDir(), goodBot), setupStore(t, t.TempDir(), goodBot)
	for n := range 30 {
		for _, s := range []*storeBundle{one, two} {
			s.write(t, fmt.Sprintf("b%d.yaml", n), fmt.Sprintf("bot: b%d\n", n))
		}
	}
	require.NoError(t, one.Reload())
	require.NoError(t, two.Reload())
	require.Len(t, one.Current().Digest(), 512)
	require.Equal(t, one.Current().Digest(), two.Current().Digest())

	two.write(t, "shop.yaml", otherBot)
	require.NoError(t, two.Reload())
	of := func(name string) bool {
		id := schemas.BotID{Tenant: "default", Bot: name}
		return bot.DigestOf(one.Current().Digest(), id) == bot.DigestOf(two.Current().Digest(), id)
	}
	require.False(t, of("shop"))
	equal := 0
	for n := range 30 {
		if of(fmt.Sprintf("b%d", n)) {
			equal++
		}
	}
	require.Greater(t, equal, 20, "of other bots")
	require.Empty(t, bot.DigestOf("starter-1/x", schemas.BotID{}), "of an earlier release")
}

func TestSet_Replaced(t *testing.T) {
	t.Parallel()
	s := setupStore(t, t.TempDir(), goodBot)
	before := s.Current()
	require.NoError(t, before.Replaced().Err())
	require.NoError(t, s.Reload())
	require.Error(t, before.Replaced().Err())
	require.NoError(t, s.Current().Replaced().Err())
	require.True(t, s.Current().HasTenant("default"))
	require.False(t, s.Current().HasTenant("acme"))
}
