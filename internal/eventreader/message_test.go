package eventreader

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTokensOf(t *testing.T) {
	t.Parallel()
	for subject, want := range map[string]struct {
		tenant, bot, conversation string
		valid                     bool
	}{
		eventRoot + "t.b.c":                          {"t", "b", "c", true},
		eventRoot + "t.b":                            {"t", "b", "", false},
		eventRoot + "t.b.c.d":                        {"t", "b", "c", false},
		eventRoot + "t.b+.c":                         {"t", "", "c", false},
		eventRoot + "t.b." + strings.Repeat("x", 65): {"t", "b", "", false},
		eventRoot: {"", "", "", false},
	} {
		owner, conversation, valid := tokensOf(subject)
		require.Equal(t, want.tenant, owner.Tenant, subject)
		require.Equal(t, want.bot, owner.Bot, subject)
		require.Equal(t, want.conversation, conversation, subject)
		require.Equal(t, want.valid, valid, subject)
	}
}
