package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

// Pause is what an operator decided about a bot, or about one endpoint of a bot: that it pauses, or that it goes on.
type Pause struct {
	schemas.BotID

	URL string `json:"url,omitempty"` // of the endpoint, without query; "" = the bot
	// Resumed ends a pause, and for an endpoint also an open circuit, a Retry-After and a 410.
	Resumed bool      `json:"resumed,omitempty"`
	Until   time.Time `json:"until,omitzero"` // end of the pause; zero = until it is resumed
	At      time.Time `json:"at"`
	By      string    `json:"by,omitempty"`
	Reason  string    `json:"reason,omitempty"`
}

// Active reports whether the pause is in force.
func (p Pause) Active(now time.Time) bool {
	return !p.Resumed && (p.Until.IsZero() || p.Until.After(now))
}

// Pauses stores the decisions of operators. Each bot and each endpoint has the latest one.
type Pauses struct {
	bucket  jetstream.KeyValue
	streams bus.Streams
}

// NewPauses returns a new Pauses on an account's streams.
func NewPauses(s bus.Streams) *Pauses {
	return &Pauses{bucket: s.Bucket(bus.BucketPauses), streams: s}
}

// Put stores a decision. All processes apply it at once.
func (p *Pauses) Put(ctx context.Context, decided Pause) error {
	value, err := json.Marshal(decided)
	if err != nil {
		return err
	}
	if _, err := p.bucket.Put(ctx, pauseKey(decided), value); err != nil {
		return fmt.Errorf("store a pause: %w", err)
	}
	return nil
}

// Follow calls decided for every stored decision, then ready once, then decided for every later one, until ctx ends. It
// continues after reconnections and after the bucket was created again, whose revisions begin again: a decision is known by
// its content, and reported once. A pause that is removed from the bucket, or missing after that, is reported as resumed,
// with its bot and URL only.
func (p *Pauses) Follow(ctx context.Context, decided func(Pause), ready func()) error {
	f := followedPauses{map[string]knownPause{}, decided}
	return follow(ctx, p.streams, bus.BucketPauses, follower{
		begin:   func() {},
		put:     func(entry jetstream.KeyValueEntry) { f.put(entry.Key(), entry.Value()) },
		removed: func(key string, _ uint64) { f.remove(key) },
		ready:   ready,
	})
}

// followedPauses are the decisions that were reported, by their keys.
type followedPauses struct {
	known   map[string]knownPause
	decided func(Pause)
}

type knownPause struct {
	Pause

	value string // as it is stored
}

func (f *followedPauses) put(key string, value []byte) {
	var d Pause
	if f.known[key].value != string(value) && json.Unmarshal(value, &d) == nil {
		f.known[key] = knownPause{d, string(value)}
		f.decided(d)
	}
}

// remove ends a pause that is not stored any more.
func (f *followedPauses) remove(key string) {
	last, known := f.known[key]
	delete(f.known, key)
	if known && !last.Resumed {
		f.decided(Pause{BotID: last.BotID, URL: last.URL, Resumed: true})
	}
}

// List returns the stored decisions.
func (p *Pauses) List(ctx context.Context) ([]Pause, error) {
	var all []Pause
	err := p.streams.ListBucket(ctx, bus.BucketPauses, func(value []byte) {
		var d Pause
		if json.Unmarshal(value, &d) == nil {
			all = append(all, d)
		}
	})
	return all, err
}

func pauseKey(p Pause) string {
	if p.URL == "" {
		return "bot." + p.Tenant + "." + p.Bot
	}
	return "endpoint." + endpointKey(p.BotID, p.URL)
}
