package store

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
)

const (
	// lifeSpans is into how many parts the life of an entry is divided, to count those of each part together.
	lifeSpans = 12
	// lifeShareFor is how long the size of a share is used before the starters are counted again.
	lifeShareFor = 10 * time.Second
)

// lifeShares bounds what gateways write to a bucket whose entries expire and have one size. A tenant has at most half of
// the bucket, and all tenants together have at most part of it: each of the gateways, which are as many as the live
// starters, lets them make an equal part of that.
type lifeShares struct {
	bucket     string
	streams    bus.Streams
	entryBytes int     // more than an entry takes in the bucket
	part       float64 // of the bucket, for all tenants
	now        func() time.Time

	mu      sync.Mutex
	tenants map[string]*written
	all     written
	share   int       // entries of a tenant; 0: unbounded
	most    int       // entries of all tenants
	until   time.Time // of share
	span    time.Duration
}

// written counts the entries that this process has made.
type written struct {
	spans [lifeSpans]int
	last  int64 // number of the latest span
}

func newLifeShares(s bus.Streams, bucket string, entryBytes int, part float64) *lifeShares {
	return &lifeShares{
		bucket: bucket, streams: s, entryBytes: entryBytes, part: part, now: time.Now, tenants: map[string]*written{},
	}
}

// measure reads the size of the bucket and the number of starters, unless they were read a moment ago. Later failures leave
// the share as it is.
func (c *lifeShares) measure(ctx context.Context) error {
	c.mu.Lock()
	if c.now().Before(c.until) {
		c.mu.Unlock()
		return nil
	}
	first := c.span == 0
	if !first {
		c.until = c.now().Add(lifeShareFor) // others go on meanwhile
	}
	c.mu.Unlock()
	if err := c.read(ctx); err != nil && first {
		return err
	}
	return nil
}

func (c *lifeShares) read(ctx context.Context) error {
	status, err := c.streams.Bucket(c.bucket).Status(ctx)
	if err != nil {
		return fmt.Errorf("read the size of bucket %s: %w", c.bucket, err)
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
	c.share, c.most = 0, 0
	if of, ok := status.(*jetstream.KeyValueBucketStatus); ok && of.StreamInfo().Config.MaxBytes > 0 {
		entries := float64(of.StreamInfo().Config.MaxBytes) / float64(c.entryBytes) / float64(max(1, starters))
		c.share, c.most = max(1, int(entries/2)), max(1, int(entries*c.part))
	}
	c.span, c.until = status.TTL()/lifeSpans, c.now().Add(lifeShareFor)
	for tenant, made := range c.tenants {
		if made.count(c.number()); made.sum() == 0 {
			delete(c.tenants, tenant)
		}
	}
	return nil
}

// number returns the number of the present span.
func (c *lifeShares) number() int64 {
	if c.span <= 0 {
		return 0
	}
	return c.now().UnixNano() / int64(c.span)
}

// take counts an entry of a tenant unless its share, or that of all, is full.
func (c *lifeShares) take(tenant string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	made := c.tenants[tenant]
	if made == nil {
		made = &written{}
		c.tenants[tenant] = made
	}
	span, ofAll := made.count(c.number()), c.all.count(c.number())
	if c.share > 0 && (made.sum() >= c.share || c.all.sum() >= c.most) {
		return false
	}
	*span++
	*ofAll++
	return true
}

// give takes back the count of an entry that was not made.
func (c *lifeShares) give(tenant string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	made := c.tenants[tenant]
	if made == nil {
		return
	}
	for _, of := range []*written{made, &c.all} {
		if span := of.count(c.number()); *span > 0 {
			*span--
		}
	}
}

// count returns the count of a span. Those that ended an entry's life ago begin again at 0. Spans are numbered by the wall
// clock: when it was set back by more than a life, what is counted belongs to the present span and expires a life from now.
func (m *written) count(number int64) *int {
	if number < m.last-lifeSpans {
		kept := m.sum()
		m.spans, m.last = [lifeSpans]int{}, number
		m.spans[number%lifeSpans] = kept
	}
	for ended := max(m.last+1, number-lifeSpans+1); ended <= number; ended++ {
		m.spans[ended%lifeSpans] = 0
	}
	m.last = max(m.last, number)
	return &m.spans[m.last%lifeSpans]
}

func (m *written) sum() (all int) {
	for _, count := range m.spans {
		all += count
	}
	return all
}
