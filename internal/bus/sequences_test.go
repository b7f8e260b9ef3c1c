package bus

import (
	"bytes"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

func TestStreamOptions_FirstSeq(t *testing.T) {
	t.Parallel()
	o := StreamOptions{seen: map[string]uint64{
		"empty": 0, "small": 40, "large": generation - 1, "next": generation, "again": 2*generation + 40,
	}}
	for stream, want := range map[string]uint64{
		"unknown": 0, "empty": 200_000_001, "small": 200_000_001, "large": 200_000_001, "next": 300_000_001, "again": 400_000_001,
	} {
		require.Equal(t, want, o.firstSeq(stream), stream)
	}
}

// seenStreams are the streams that are created again behind their former sequences.
func seenStreams() (names []string) {
	for _, name := range streamNames() {
		if name != filesStream {
			names = append(names, name)
		}
	}
	return names
}

func infoOf(t *testing.T, js jetstream.JetStream, stream string) *jetstream.StreamInfo {
	t.Helper()
	opened, err := js.Stream(testContext(t), stream)
	require.NoError(t, err)
	return opened.CachedInfo()
}

// TestUpkeep_SequencesDoNotComeAgain deletes every stream twice. Those that are created again begin behind all sequences
// that the former ones had, and are otherwise as they were.
func TestUpkeep_SequencesDoNotComeAgain(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{})
	u, o := upkeepOf(js), StreamOptions{StarterTTL: 2 * time.Second}
	for n := range 3 {
		publish(t, js, "c", n)
		_, err := streams.Bucket(BucketPauses).Put(testContext(t), "key", []byte("v"))
		require.NoError(t, err)
	}
	for range 2 {
		require.NoError(t, u.look(testContext(t)))
		before := map[string]*jetstream.StreamInfo{}
		for _, name := range seenStreams() {
			before[name] = infoOf(t, js, name)
			require.NoError(t, js.DeleteStream(testContext(t), name))
		}
		require.NoError(t, u.look(testContext(t)))
		for name, former := range before {
			now := infoOf(t, js, name)
			require.Greater(t, now.Config.FirstSeq, former.State.LastSeq+generation, name)
			require.Equal(t, now.Config.FirstSeq-1, now.State.LastSeq, name)
			now.Config.FirstSeq = former.Config.FirstSeq
			require.Equal(t, former.Config, now.Config, name)
		}
		changes, err := Plan(testContext(t), js, o, nil)
		require.NoError(t, err)
		require.Empty(t, changes, "the first sequence is not a setting that differs")
		publish(t, js, "c", 9)
	}
	first := infoOf(t, js, schemas.StreamEvents).Config.FirstSeq
	require.NoError(t, Resize(testContext(t), js, StreamOptions{Sizes: map[string]int64{"events": 64 << 20}}, func(string, string) {}))
	require.Equal(t, first, infoOf(t, js, schemas.StreamEvents).Config.FirstSeq, "a change of the stream keeps it")
}

// TestUpkeep_CreatedByTwoAtOnce: two processes have seen different sequences, so they ask for different streams. One of
// them creates each stream, and the other one uses it.
func TestUpkeep_CreatedByTwoAtOnce(t *testing.T) {
	t.Parallel()
	server, js, _ := setup(t, StreamOptions{})
	other := connectTo(t, server)
	_, err := Setup(testContext(t), other, StreamOptions{StarterTTL: 2 * time.Second})
	require.NoError(t, err)
	for _, name := range seenStreams() {
		upkeepOf(other).seen[name] = 5 * generation
		require.NoError(t, js.DeleteStream(testContext(t), name))
	}
	failed := make([]error, 2)
	var looks sync.WaitGroup
	for n, one := range []jetstream.JetStream{js, other} {
		looks.Go(func() { failed[n] = upkeepOf(one).look(testContext(t)) })
	}
	looks.Wait()
	require.Equal(t, []error{nil, nil}, failed)
	created := map[string]time.Time{}
	for _, name := range seenStreams() {
		info := infoOf(t, js, name)
		created[name] = info.Created
		require.Contains(t, []uint64{2*generation + 1, 7*generation + 1}, info.Config.FirstSeq, name)
	}
	for _, one := range []jetstream.JetStream{js, other} {
		require.NoError(t, Ready(testContext(t), one))
	}
	for name, at := range created {
		require.Equal(t, at, infoOf(t, js, name).Created, "no process creates what another one has created")
	}
}

// TestUpkeep_KeepsLatestSequence: a stream that was set back, or created again from sequence 1 by a process that did not know
// it, must not make this process forget the sequences that were given out.
func TestUpkeep_KeepsLatestSequence(t *testing.T) {
	t.Parallel()
	u, asked := newAskedStream(900)
	require.NoError(t, u.look(t.Context()))
	asked.info.State.LastSeq = 7
	require.NoError(t, u.look(t.Context()))
	require.Equal(t, map[string]uint64{"S": 900}, u.seenSequences())

	server, js, _ := setup(t, StreamOptions{})
	for n := range 3 {
		publish(t, js, "c", n)
	}
	require.NoError(t, upkeepOf(js).look(testContext(t)))
	lines := &bytes.Buffer{}
	upkeepOf(js).log = slog.New(slog.NewTextHandler(lines, nil))
	require.NoError(t, js.DeleteStream(testContext(t), schemas.StreamEvents))
	_, err := Setup(testContext(t), connectTo(t, server), StreamOptions{})
	require.NoError(t, err)
	require.Zero(t, infoOf(t, js, schemas.StreamEvents).Config.FirstSeq, "that process does not know the stream of before")
	require.NoError(t, upkeepOf(js).look(testContext(t)))
	require.Equal(t, uint64(3), upkeepOf(js).seenSequences()[schemas.StreamEvents])
	require.Contains(t, lines.String(), "sequences of streams come again")
	lines.Reset()
	require.NoError(t, js.DeleteStream(testContext(t), schemas.StreamEvents))
	require.NoError(t, upkeepOf(js).look(testContext(t)))
	require.NotContains(t, lines.String(), "come again", "this process creates it behind the former sequences")
}

// TestSetup_AfterItsStreamsVanished: a process that sets up again has seen the streams of before.
func TestSetup_AfterItsStreamsVanished(t *testing.T) {
	t.Parallel()
	_, js, _ := setup(t, StreamOptions{})
	require.NoError(t, js.DeleteStream(testContext(t), schemas.StreamReplies))
	_, err := Setup(testContext(t), js, StreamOptions{})
	require.NoError(t, err)
	require.Equal(t, uint64(2*generation+1), infoOf(t, js, schemas.StreamReplies).Config.FirstSeq)
}

// TestUpkeep_OwnerAuditCopiedAgain: the server copies the audit events of owners from their begin into a stream that was
// created again, and goes on with new ones, although its sequences are others.
func TestUpkeep_OwnerAuditCopiedAgain(t *testing.T) {
	t.Parallel()
	_, js, _ := setup(t, StreamOptions{})
	copied := func(count uint64) func() bool {
		return func() bool { return infoOf(t, js, StreamOwnerAudit).State.Msgs == count }
	}
	write := func() {
		event := schemas.NewAuditEvent(time.Now(), "", schemas.Audited{Action: schemas.AuditSetup})
		require.NoError(t, NewAudit(js).Write(testContext(t), event))
	}
	for range 3 {
		write()
	}
	require.Eventually(t, copied(3), soon, poll)
	require.NoError(t, js.DeleteStream(testContext(t), StreamOwnerAudit))
	require.NoError(t, upkeepOf(js).look(testContext(t)))
	require.Eventually(t, copied(3), soon, poll)
	write()
	require.Eventually(t, copied(4), soon, poll)
}
