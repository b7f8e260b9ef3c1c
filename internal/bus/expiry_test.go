package bus

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

func TestExpires(t *testing.T) {
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
		require.Equal(t, want, Expires(nats.Header{"Nats-TTL": {text}}, received), text)
	}
	at := received.Add(time.Second)
	require.Equal(t, at, Expires(nats.Header{headerExpires: {at.Format(time.RFC3339Nano)}, "Nats-TTL": {"1h"}}, received))
}
