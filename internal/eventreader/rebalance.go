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
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
)

// assignment is one partition that this starter has or is about to have.
type assignment struct {
	partition int
	released  chan struct{} // closed when another starter is to have it
	recheck   chan struct{} // a hint that deliveries may have been missed
	leaving   bool
}

// share keeps this starter announced, and its partitions those that are its own among the starters that are alive.
func (r *Reader) rebalanceLoop(ctx context.Context) {
	defer r.tasks.Done()
	defer close(r.shared)
	ticker := time.NewTicker(r.streams.StarterTTL() / 12)
	defer ticker.Stop()
	for {
		if err := r.rebalance(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn("cannot see the other starters, trying again", "error", err)
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
	members, claimed, err := r.look(ctx)
	if err != nil {
		return err
	}
	mine := assign(r.streams.Partitions, members)[r.name]
	reconnected := r.reconnected()

	r.mu.Lock()
	defer r.mu.Unlock()
	for n, h := range r.assignments {
		if !slices.Contains(mine, n) && !h.leaving {
			h.leaving = true
			close(h.released)
		}
		if reconnected {
			h.hint()
		}
	}
	for _, n := range mine {
		if r.assignments[n] == nil && !claimed[n] {
			h := &assignment{partition: n, released: make(chan struct{}), recheck: make(chan struct{}, 1)}
			r.assignments[n] = h
			r.tasks.Add(1)
			go r.runPartition(h)
		}
	}
	return nil
}

// announce refreshes the key that tells the other starters of this one.
func (r *Reader) announce(ctx context.Context) error {
	if time.Since(r.announced) < r.streams.StarterTTL()/3 {
		return nil
	}
	revision, err := r.streams.Starters().Put(ctx, r.name, []byte(r.owner))
	if err != nil {
		return fmt.Errorf("announce starter %s: %w", r.name, err)
	}
	r.announced, r.revision = time.Now(), revision
	return nil
}

// look gives the starters that are alive, this one included, and the partitions that are claimed: all keys in one
// request.
func (r *Reader) look(ctx context.Context) (members []string, claimed map[int]bool, err error) {
	prefix := "$KV." + bus.BucketStarters + "."
	info, err := r.streams.StarterLog().Info(ctx, jetstream.WithSubjectFilter(prefix+">"))
	if err != nil {
		return nil, nil, fmt.Errorf("list bucket %s: %w", bus.BucketStarters, err)
	}
	members, claimed = []string{r.name}, map[int]bool{}
	for subject := range info.State.Subjects {
		key := strings.TrimPrefix(subject, prefix)
		if number, found := strings.CutPrefix(key, "partition."); found {
			if n, err := strconv.Atoi(number); err == nil {
				claimed[n] = true
			}
		} else if key != r.name {
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

// hold is the whole life of one partition on this starter: claim it, read it, and give it up when another starter is to
// have it, when this one stops, when the claim is lost or when reading fails.
func (r *Reader) runPartition(h *assignment) {
	defer r.tasks.Done()
	defer r.forget(h)
	log := r.log.With("partition", h.partition)
	right, err := acquireLease(r.sharing, r.streams, h.partition, r.owner)
	if err != nil {
		if !errors.Is(err, jetstream.ErrKeyExists) && r.sharing.Err() == nil {
			log.Warn("cannot claim a partition, trying again", "error", err)
		}
		return
	}
	p := newPartition(r, h, right, log)
	if err := p.open(); err != nil {
		if r.sharing.Err() == nil {
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
		log.Warn("cannot release a partition, its claim runs out by itself", "error", err, "after", r.streams.StarterTTL())
	}
}

func (r *Reader) forget(h *assignment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.assignments, h.partition)
}
