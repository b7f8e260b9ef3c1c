package bus

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
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
		tenant, bot, conversation, valid := tokensOf(subject)
		require.Equal(t, want.tenant, tenant, subject)
		require.Equal(t, want.bot, bot, subject)
		require.Equal(t, want.conversation, conversation, subject)
		require.Equal(t, want.valid, valid, subject)
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	received := time.Unix(1700000000, 0).UTC()
	for text, want := range map[string]time.Time{
		"":      {},
		"never": {},
		"junk":  {},
		"-5s":   {},
		"90":    received.Add(90 * time.Second),
		"2m":    received.Add(2 * time.Minute),
	} {
		require.Equal(t, want, expiry(nats.Header{"Nats-TTL": {text}}, received), text)
	}
	at := received.Add(time.Second)
	require.Equal(t, at, expiry(nats.Header{headerExpires: {at.Format(time.RFC3339Nano)}, "Nats-TTL": {"1h"}}, received))
}
