package bus

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/schemas"
)

// StreamUse is how full a stream was when Upkeep read it last.
type StreamUse struct {
	Stream string
	Used   float64       // share of the bytes, or of the messages where that is more, that it may hold; 0 without a bound
	Oldest time.Duration // age of the oldest message; 0 when it is empty
}

// StreamsUse returns how full the streams of events, replies and dead letters were at the latest look of Upkeep, as far as
// Setup or Upkeep has read them.
func StreamsUse(js JetStream) (all []StreamUse) {
	u := upkeepOf(js)
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, name := range []string{schemas.StreamEvents, schemas.StreamReplies, schemas.StreamDeadLetters} {
		if use, known := u.use[name]; known {
			all = append(all, use)
		}
	}
	return all
}

// useOf returns how full a stream is. While the stream of events is closed for a change of its partitions, its bound is that
// of before. The age is by the clock of the server, which stamps the messages.
func useOf(info *jetstream.StreamInfo) StreamUse {
	config, state := reopened(info.Config), info.State
	use := StreamUse{Stream: config.Name}
	if config.MaxBytes > 0 {
		use.Used = float64(state.Bytes) / float64(config.MaxBytes)
	}
	if config.MaxMsgs > 0 {
		use.Used = max(use.Used, float64(state.Msgs)/float64(config.MaxMsgs))
	}
	if state.Msgs > 0 {
		use.Oldest = max(0, info.TimeStamp.Sub(state.FirstTime))
	}
	return use
}
