package bus

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// holding is one partition that this starter has or is about to have.
type holding struct {
	partition int
	letGo     chan struct{} // closed when another starter is to have it
	nudge     chan struct{} // a hint that deliveries may have been missed
	leaving   bool
}

// share keeps this starter announced, and its partitions those that are its own among the starters that are alive.
func (c *Consumer) share(ctx context.Context) {
	defer c.tasks.Done()
	defer close(c.shared)
	ticker := time.NewTicker(c.streams.starterTTL / 12)
	defer ticker.Stop()
	for {
		if err := c.rebalance(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("cannot see the other starters, trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (c *Consumer) rebalance(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.streams.starterTTL/2)
	defer cancel()
	if err := c.announce(ctx); err != nil {
		return err
	}
	members, claimed, err := c.look(ctx)
	if err != nil {
		return err
	}
	mine := assign(c.streams.Partitions, members)[c.name]
	reconnected := c.reconnected()

	c.mu.Lock()
	defer c.mu.Unlock()
	for n, h := range c.holdings {
		if !slices.Contains(mine, n) && !h.leaving {
			h.leaving = true
			close(h.letGo)
		}
		if reconnected {
			h.hint()
		}
	}
	for _, n := range mine {
		if c.holdings[n] == nil && !claimed[n] {
			h := &holding{partition: n, letGo: make(chan struct{}), nudge: make(chan struct{}, 1)}
			c.holdings[n] = h
			c.tasks.Add(1)
			go c.hold(h)
		}
	}
	return nil
}

// announce refreshes the key that tells the other starters of this one.
func (c *Consumer) announce(ctx context.Context) error {
	if time.Since(c.announced) < c.streams.starterTTL/3 {
		return nil
	}
	revision, err := c.streams.starters.Put(ctx, c.name, []byte(c.owner))
	if err != nil {
		return fmt.Errorf("announce starter %s: %w", c.name, err)
	}
	c.announced, c.revision = time.Now(), revision
	return nil
}

// look gives the starters that are alive, this one included, and the partitions that are claimed: all keys in one
// request.
func (c *Consumer) look(ctx context.Context) (members []string, claimed map[int]bool, err error) {
	prefix := "$KV." + BucketStarters + "."
	info, err := c.streams.starterLog.Info(ctx, jetstream.WithSubjectFilter(prefix+">"))
	if err != nil {
		return nil, nil, fmt.Errorf("list bucket %s: %w", BucketStarters, err)
	}
	members, claimed = []string{c.name}, map[int]bool{}
	for subject := range info.State.Subjects {
		key := strings.TrimPrefix(subject, prefix)
		if number, found := strings.CutPrefix(key, "partition."); found {
			if n, err := strconv.Atoi(number); err == nil {
				claimed[n] = true
			}
		} else if key != c.name {
			members = append(members, key)
		}
	}
	return members, claimed, nil
}

// assign spreads the partitions over the members by rendezvous hashing, none getting more than its even share.
// Everybody who sees the same members comes to the same result, and few partitions move when a member comes or goes.
func assign(partitions int, members []string) map[string][]int {
	share := (partitions + len(members) - 1) / len(members)
	assigned := make(map[string][]int, len(members))
	for n := range partitions {
		ranked := slices.Clone(members)
		slices.SortFunc(ranked, func(a, b string) int {
			return cmp.Or(cmp.Compare(weight(b, n), weight(a, n)), cmp.Compare(a, b))
		})
		for _, member := range ranked {
			if len(assigned[member]) < share {
				assigned[member] = append(assigned[member], n)
				break
			}
		}
	}
	return assigned
}

func weight(member string, partition int) uint64 {
	sum := sha256.Sum256([]byte(member + "/" + strconv.Itoa(partition)))
	return binary.BigEndian.Uint64(sum[:])
}

// reconnected says whether the connection was lost and found again since the last call.
func (c *Consumer) reconnected() bool {
	n := c.js.Conn().Stats().Reconnects
	changed := n != c.reconnects
	c.reconnects = n
	return changed
}

func (h *holding) hint() {
	select {
	case h.nudge <- struct{}{}:
	default:
	}
}

// hold is the whole life of one partition on this starter: claim it, read it, and give it up when another starter is to
// have it, when this one stops, when the claim is lost or when reading fails.
func (c *Consumer) hold(h *holding) {
	defer c.tasks.Done()
	defer c.forget(h)
	log := c.log.With("partition", h.partition)
	right, err := claim(c.sharing, c.streams, h.partition, c.owner)
	if err != nil {
		if !errors.Is(err, jetstream.ErrKeyExists) && c.sharing.Err() == nil {
			log.Warn("cannot claim a partition, trying again", "error", err)
		}
		return
	}
	p := newPartition(c, h, right, log)
	if err := p.open(); err != nil {
		if c.sharing.Err() == nil {
			log.Warn("cannot read a partition, trying again", "error", err)
		}
	} else {
		log.Info("reading a partition")
		p.waitForEnd()
	}
	p.close()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := right.release(ctx); err != nil {
		log.Warn("cannot release a partition, its claim runs out by itself", "error", err, "after", c.streams.starterTTL)
	}
}

func (c *Consumer) forget(h *holding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.holdings, h.partition)
}
