package bus

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/schemas"
)

// Sequences outlive their stream: an engine keeps the one of the reply that it has read, a run that of an entry of a
// background queue, an operator that of a dead letter, a starter the revision of its lease. A stream that vanished and
// begins at 1 again has other messages under them after a while. So a process that has seen the stream creates it with a
// first sequence that is higher than any sequence of the former one.

// generation is the least distance between the latest sequence that a process has seen of a stream and the first one of the
// stream that it creates again. Other processes may have published since its latest look, which was up to upkeepEvery before
// the loss, or earlier when the connection was lost first: 1,000 messages a second take 27 hours. Ten losses fit in 31 bits.
const generation = 100_000_000

// firstSeq returns the sequence with which a stream begins that is created now. 0 is the server's default: this process has
// not seen the stream. It follows a multiple of generation, so that processes that have seen different sequences nearly
// always ask for the same stream, and so that its sequences can be read. The object store always begins at 1: its objects
// are found by their names.
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

// saw records what a look at a stream has shown: where it ends, its layout, and how full it is. The caller holds mu.
func (u *upkeep) saw(name string, info *jetstream.StreamInfo) {
	u.sawUpTo(name, info.State.LastSeq)
	u.sawLayout(info)
	u.use[name] = useOf(info)
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
		u.saw(name, info)
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

// storedEnd is the end of a stream at a look.
type storedEnd struct {
	sequence uint64
	at       time.Time // when its message was stored
}

// setBack reports whether a stream ends at a lower sequence than at the latest look: it was restored from a backup, or a
// server has lost its last writes. What is read from it has positions that come again. Information about a stream that was
// created again meanwhile is not compared.
//
// A stream that has grown beyond its former end since is not recognised by its sequence. Of the replies, where this process
// follows them, the message at the former end is read: it is another one when it was stored later.
func (u *upkeep) setBack(ctx context.Context, js jetstream.JetStream, name string, info *jetstream.StreamInfo) bool {
	now := storedEnd{info.State.LastSeq, info.State.LastTime}
	u.mu.Lock()
	if !u.created[name].Equal(info.Created) {
		u.mu.Unlock()
		return false
	}
	before, followed := u.last[name], u.restored[name] != nil
	u.saw(name, info)
	u.mu.Unlock()
	back := now.sequence < before.sequence
	if !back && name == schemas.StreamReplies && followed && before.sequence > 0 && !now.at.Equal(before.at) {
		m, err := natsclient.LeaderOf(js, name).Get(ctx, natsclient.Query{Sequence: before.sequence})
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return false // the next look compares
		}
		back = err == nil && m.Time.After(before.at) // a reply that was deleted or has expired shows nothing
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.created[name].Equal(info.Created) { // it was not created again meanwhile
		u.last[name] = now
	}
	return back
}
