package eventreader

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
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
)

// assignment is one partition that this starter holds or is about to hold.
type assignment struct {
	partition int
	released  chan struct{} // closed when another starter is assigned the partition
	recheck   chan struct{} // a hint that deliveries may have been missed
	leaving   bool
	reading   atomic.Pointer[partition] // nil before the lease is acquired
}

// rebalanceLoop keeps this starter announced, and the partitions that it reads equal to its share among the live starters.
func (r *Reader) rebalanceLoop(ctx context.Context) {
	defer r.tasks.Done()
	defer close(r.shared)
	ticker := time.NewTicker(r.streams.StarterTTL() / 12)
	defer ticker.Stop()
	for {
		if err := r.rebalance(ctx); err != nil && ctx.Err() == nil {
			r.log.Log(ctx, natsclient.RetryLevel(err), "listing the other starters failed, will retry", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (r *Reader) rebalance(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.streams.StarterTTL()/2)
	defer cancel()
	if err := r.announce(ctx); err != nil {
		return err
	}
	members, leased, err := r.listKeys(ctx)
	if err != nil {
		return err
	}
	if err := r.announce(ctx); err != nil { // again, where the bucket is a new one
		return err
	}
	r.starters.Store(int64(len(members)))
	mine := assign(r.streams.PartitionsNow(), members)[r.name]
	reconnected := r.reconnected()
	free, err := r.free(ctx, mine, leased)

	r.mu.Lock()
	defer r.mu.Unlock()
	for n, h := range r.assignments {
		if !slices.Contains(mine, n) && !h.leaving && !r.fresh.settling() {
			h.leaving = true
			close(h.released)
		}
		if reconnected {
			h.hint()
		}
	}
	for _, n := range free {
		if r.assignments[n] == nil {
			h := &assignment{partition: n, released: make(chan struct{}), recheck: make(chan struct{}, 1)}
			r.assignments[n] = h
			r.tasks.Add(1)
			go r.runPartition(h)
		}
	}
	return err
}

// announce refreshes the key by which the other starters know this one, and writes it when what it announces has changed.
func (r *Reader) announce(ctx context.Context) error {
	value := r.owner
	if r.options.Announcement != nil {
		value = r.options.Announcement()
	}
	if time.Since(r.announced) < r.streams.StarterTTL()/3 && value == r.announcing {
		return nil
	}
	revision, err := r.streams.Bucket(bus.BucketStarters).Put(ctx, r.name, []byte(value))
	if err != nil {
		return fmt.Errorf("announce starter %s: %w", r.name, err)
	}
	r.announced, r.announcing, r.revision = time.Now(), value, revision
	return nil
}

// listKeys returns the live starters, this one included, and the partitions that have a lease: all keys in one request.
func (r *Reader) listKeys(ctx context.Context) (members []string, leased map[int]bool, err error) {
	prefix := "$KV." + bus.BucketStarters + "."
	info, err := r.streams.BucketLog(bus.BucketStarters).Info(ctx, jetstream.WithSubjectFilter(prefix+">"))
	if err != nil {
		return nil, nil, fmt.Errorf("list bucket %s: %w", bus.BucketStarters, err)
	}
	if r.fresh.look(info, r.streams.StarterTTL()) {
		r.bucketLost()
	}
	members, leased = []string{r.name}, map[int]bool{}
	for subject := range info.State.Subjects {
		key := strings.TrimPrefix(subject, prefix)
		if number, found := strings.CutPrefix(key, "partition."); found {
			if n, err := strconv.Atoi(number); err == nil {
				leased[n] = true
			}
		} else if key != r.name {
			members = append(members, key)
		}
	}
	return members, leased, nil
}

// bucketLost stores the keys of this starter again: those of its leases, and, at the next announcement, its own.
func (r *Reader) bucketLost() {
	r.log.Warn("bucket of partition leases was lost, acquiring none for a while: starters may hold some that have no key",
		"bucket", bus.BucketStarters, "after", r.streams.StarterTTL())
	r.announced = time.Time{}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.assignments {
		if p := h.reading.Load(); p != nil {
			p.lease.refreshNow()
		}
	}
}

// free returns those of the partitions whose lease can be acquired: nothing shows that another starter has it.
func (r *Reader) free(ctx context.Context, partitions []int, leased map[int]bool) ([]int, error) {
	free, ours := make([]int, 0, len(partitions)), r.Partitions()
	for _, n := range partitions {
		if leased[n] || slices.Contains(ours, n) {
			continue
		}
		held, err := r.fresh.mayBeHeld(ctx, r.streams, n)
		if err != nil {
			return free, err
		}
		if !held {
			free = append(free, n)
		}
	}
	return free, nil
}

// assign spreads the partitions over the members by rendezvous hashing, no member getting more than its even share. The
// result depends on the members alone, and few partitions move when a member comes or goes.
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

// reconnected reports whether the connection was lost and found again since the last call.
func (r *Reader) reconnected() bool {
	n := r.js.Conn().Stats().Reconnects
	changed := n != r.reconnects
	r.reconnects = n
	return changed
}

func (h *assignment) hint() {
	select {
	case h.recheck <- struct{}{}:
	default:
	}
}

// runPartition acquires the lease of a partition, reads it, and gives it up when another starter is assigned the partition,
// when this one stops, when the lease is lost or when reading fails.
func (r *Reader) runPartition(h *assignment) {
	defer r.tasks.Done()
	defer r.forget(h)
	log := r.log.With("partition", h.partition)
	right, err := acquireLease(r.sharing, r.streams, h.partition, r.owner)
	if err != nil {
		if !errors.Is(err, jetstream.ErrKeyExists) && r.sharing.Err() == nil {
			log.Log(r.sharing, natsclient.RetryLevel(err), "acquiring partition lease failed, will retry", "error", err)
		}
		return
	}
	p := newPartition(r, h, right, log)
	h.reading.Store(p)
	if err := p.open(); err != nil {
		if r.sharing.Err() == nil {
			log.Log(r.sharing, natsclient.RetryLevel(err), "opening partition failed, will retry", "error", err)
		}
	} else {
		log.Info("partition lease acquired, reading")
		p.waitForEnd()
	}
	p.close()
	ctx, cancel := context.WithTimeout(context.Background(), r.options.closeTimeout)
	defer cancel()
	if err := right.release(ctx); err != nil {
		log.Log(ctx, natsclient.RetryLevel(err), "releasing partition lease failed, it expires",
			"error", err, "after", r.streams.StarterTTL())
	}
}

func (r *Reader) forget(h *assignment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.assignments, h.partition)
}
