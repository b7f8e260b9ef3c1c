package store

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
)

const (
	// claimBytes is more than a claim takes in its bucket.
	claimBytes = 192
	// claimSpans is into how many parts the life of a claim is divided, to count those of each part together.
	claimSpans = 12
	// claimShareFor is how long the size of a share is used before the starters are counted again.
	claimShareFor = 10 * time.Second
)

// Claims assigns a task to one of several processes. A tenant has at most half of the bucket: each of the gateways, which
// are as many as the live starters, lets it make an equal part of that.
type Claims struct {
	bucket  jetstream.KeyValue
	streams bus.Streams
	now     func() time.Time

	mu      sync.Mutex
	tenants map[string]*claimed
	share   int
	until   time.Time // of share
	span    time.Duration
}

// claimed counts the claims that a tenant has made in this process.
type claimed struct {
	spans [claimSpans]int
	last  int64 // number of the latest span
}

// NewClaims returns a new Claims on an account's streams.
func NewClaims(s bus.Streams) *Claims {
	return &Claims{bucket: s.Bucket(bus.BucketClaims), streams: s, now: time.Now, tenants: map[string]*claimed{}}
}

// Claim reports whether a key belongs to this caller: of several callers with one key within two minutes it is true for
// one. The error is of the kind rate_limited when the claims of the tenant fill its share.
func (c *Claims) Claim(ctx context.Context, tenant, key string) (bool, error) {
	if err := c.measure(ctx); err != nil {
		return false, err
	}
	if !c.take(tenant) {
		return false, fault.New(fault.RateLimited, "the event notifications of the tenant fill its share")
	}
	_, err := c.bucket.Create(ctx, key, nil)
	if err != nil {
		c.give(tenant)
	}
	if bus.IsConflict(err) {
		return false, nil
	}
	return err == nil, err
}

// measure reads the size of the bucket and the number of starters, unless they were read a moment ago. Later failures leave
// the share as it is.
func (c *Claims) measure(ctx context.Context) error {
	c.mu.Lock()
	if c.now().Before(c.until) {
		c.mu.Unlock()
		return nil
	}
	first := c.span == 0
	if !first {
		c.until = c.now().Add(claimShareFor) // others go on meanwhile
	}
	c.mu.Unlock()
	if err := c.read(ctx); err != nil && first {
		return err
	}
	return nil
}

func (c *Claims) read(ctx context.Context) error {
	status, err := c.bucket.Status(ctx)
	if err != nil {
		return fmt.Errorf("read the size of the bucket of claims: %w", err)
	}
	prefix := "$KV." + bus.BucketStarters + "."
	info, err := c.streams.BucketLog(bus.BucketStarters).Info(ctx, jetstream.WithSubjectFilter(prefix+">"))
	if err != nil {
		return fmt.Errorf("count the starters: %w", err)
	}
	starters := 0
	for subject := range info.State.Subjects {
		if !strings.HasPrefix(subject, prefix+"partition.") {
			starters++
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.share = 0
	if of, ok := status.(*jetstream.KeyValueBucketStatus); ok && of.StreamInfo().Config.MaxBytes > 0 {
		c.share = max(1, int(of.StreamInfo().Config.MaxBytes)/2/claimBytes/max(1, starters))
	}
	c.span, c.until = status.TTL()/claimSpans, c.now().Add(claimShareFor)
	for tenant, made := range c.tenants {
		if made.count(c.number()); made.sum() == 0 {
			delete(c.tenants, tenant)
		}
	}
	return nil
}

// number returns the number of the present span.
func (c *Claims) number() int64 {
	if c.span <= 0 {
		return 0
	}
	return c.now().UnixNano() / int64(c.span)
}

// take counts a claim of a tenant unless its share is full.
func (c *Claims) take(tenant string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	made := c.tenants[tenant]
	if made == nil {
		made = &claimed{}
		c.tenants[tenant] = made
	}
	span := made.count(c.number())
	if c.share > 0 && made.sum() >= c.share {
		return false
	}
	*span++
	return true
}

// give takes back the count of a claim that was not made.
func (c *Claims) give(tenant string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if made := c.tenants[tenant]; made != nil {
		if span := made.count(c.number()); *span > 0 {
			*span--
		}
	}
}

// count returns the count of a span. Those that ended a claim's life ago begin again at 0.
func (m *claimed) count(number int64) *int {
	for ended := max(m.last+1, number-claimSpans+1); ended <= number; ended++ {
		m.spans[ended%claimSpans] = 0
	}
	m.last = max(m.last, number)
	return &m.spans[m.last%claimSpans]
}

func (m *claimed) sum() (all int) {
	for _, count := range m.spans {
		all += count
	}
	return all
}
