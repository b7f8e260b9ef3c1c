package bus

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

// TestStreamsUse_LatestLook: each look of Upkeep reads how full the streams are.
func TestStreamsUse_LatestLook(t *testing.T) {
	t.Parallel()
	_, js, s := setup(t, StreamOptions{Sizes: map[string]int64{"replies": SizeMin}})
	empty := []StreamUse{
		{Stream: schemas.StreamEvents}, {Stream: schemas.StreamReplies}, {Stream: schemas.StreamDeadLetters},
	}
	require.Equal(t, empty, StreamsUse(js), "as Setup has found them")

	_, err := js.Publish(testContext(t), schemas.SubjectReplies+".acme.shop.c", make([]byte, SizeMin/2))
	require.NoError(t, err)
	require.NoError(t, Ready(testContext(t), js))
	use := StreamsUse(js)
	require.InDelta(t, 0.5, use[1].Used, 0.01)
	require.Positive(t, use[1].Oldest)
	require.Equal(t, []StreamUse{empty[0], empty[2]}, []StreamUse{use[0], use[2]})

	require.NoError(t, s.replies.Purge(testContext(t)))
	require.NoError(t, Ready(testContext(t), js))
	require.Equal(t, empty, StreamsUse(js))
}

func TestUseOf(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	info := func(c jetstream.StreamConfig) *jetstream.StreamInfo {
		return &jetstream.StreamInfo{TimeStamp: now, Config: c, State: jetstream.StreamState{
			Msgs: 30, Bytes: 250, FirstTime: now.Add(-time.Hour),
		}}
	}
	for name, c := range map[string]struct {
		config jetstream.StreamConfig
		want   float64
	}{
		"bytes":    {jetstream.StreamConfig{MaxBytes: 1000, MaxMsgs: -1}, 0.25},
		"messages": {jetstream.StreamConfig{MaxBytes: 1000, MaxMsgs: 40}, 0.75},
		"no bound": {jetstream.StreamConfig{MaxBytes: -1, MaxMsgs: -1}, 0},
		"closed":   {closed(jetstream.StreamConfig{MaxBytes: 1000}), 0.25},
	} {
		require.Equal(t, StreamUse{Used: c.want, Oldest: time.Hour}, useOf(info(c.config)), name)
	}
}
