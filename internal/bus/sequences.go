package bus

import (
	"maps"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// Sequences outlive their stream: an engine keeps the one of the reply that it has read, a run that of an entry of a
// background queue, an operator that of a dead letter, a starter the revision of its lease. A stream that vanished and begins
// at 1 again has other messages under them after a while. So a process that has seen the stream creates it with a first
// sequence that is higher than any sequence of the former one.

// generation is the least distance between the latest sequence that a process has seen of a stream and the first one of the
// stream that it creates again. Other processes may have published since its latest look, which was up to upkeepEvery before
// the loss, or earlier when the connection was lost first: 1,000 messages a second take 27 hours. Ten losses fit in 31 bits.
const generation = 100_000_000

// firstSeq returns the sequence with which a stream begins that is created now. 0 is the server's default: this process has
// not seen the stream. It follows a multiple of generation, so that processes that have seen different sequences nearly
// always ask for the same stream, and so that its sequences can be read. The object store always begins at 1: its objects are
// found by their names.
func (o StreamOptions) firstSeq(stream string) uint64 {
	latest, seen := o.seen[stream]
	if !seen {
		return 0
	}
	return (latest/generation+2)*generation + 1
}

// sawUpTo records the latest sequence of a stream, whichever stream of this name has it: a lower one than before, of a
// stream that was created again or restored from a backup, is not the latest one. The caller holds mu.
func (u *upkeep) sawUpTo(stream string, sequence uint64) {
	u.seen[stream] = max(u.seen[stream], sequence)
}

// record stores when each stream was created and where it ends. It returns the streams that were created again since the
// last time, and those of them that began within the sequences of the former ones.
func (u *upkeep) record(now map[string]*jetstream.StreamInfo) (again, reused []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(now)) {
		info := now[name]
		if before, known := u.created[name]; known && !before.Equal(info.Created) {
			again = append(again, name)
			if name != filesStream && info.Config.FirstSeq <= u.seen[name] && u.seen[name] > 0 {
				reused = append(reused, name)
			}
		}
		u.created[name] = info.Created
		u.sawUpTo(name, info.State.LastSeq)
	}
	return again, reused
}

// seenSequences returns the latest sequences that this process has seen, by stream.
func (u *upkeep) seenSequences() map[string]uint64 {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return maps.Clone(u.seen)
}

// setBack reports whether a stream ends at a lower sequence than at the latest look: it was restored from a backup, or a
// server has lost its last writes. What is read from it has positions that come again. Information about a stream that was
// created again meanwhile is not compared.
func (u *upkeep) setBack(name string, info *jetstream.StreamInfo) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.created[name].Equal(info.Created) {
		return false
	}
	before := u.last[name]
	u.last[name] = info.State.LastSeq
	u.sawUpTo(name, info.State.LastSeq)
	return info.State.LastSeq < before
}
