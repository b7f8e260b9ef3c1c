package eventreader

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

func TestReader_OneConversationKeepsItsOrderWhileOthersAreSlow(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{})
	const slow, events = 40, 60
	release, entered := make(chan struct{}), make(chan struct{}, slow)
	seen := newLedger()
	handler := func(_ context.Context, m *Message) Outcome {
		if m.Conversation != "fast" {
			entered <- struct{}{}
			<-release
		}
		seen.note(m)
		return Ack()
	}
	startReader(t, js, streams, Options{MaxInFlight: 2 * slow, Handler: handler})
	for i := range slow {
		publish(t, js, fmt.Sprintf("slow-%d", i), 0)
	}
	for range slow {
		<-entered
	}
	for n := range events {
		publish(t, js, "fast", n)
	}
	require.Eventually(t, func() bool { return seen.count("fast") == events }, soon, poll)
	close(release)
	requireEmpty(t, streams)
	seen.requireOrder(t)
	require.Equal(t, slow+events, seen.distinct())
}

func TestMessage_CarriesWhatWasPublished(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{})
	got := make(chan Message, 1)
	startReader(t, js, streams, Options{Handler: func(_ context.Context, m *Message) Outcome {
		got <- *m
		return Ack()
	}})
	before := time.Now()
	seq := publishRaw(t, js, &nats.Msg{Subject: eventRoot + "acme.shop.c-1", Data: []byte("body"),
		Header: nats.Header{"X": {"1", "2"}, "Nats-TTL": {"1h"}}})
	m := <-got
	require.Equal(t, []string{"acme", "shop", "c-1"}, []string{m.Tenant, m.Bot, m.Conversation})
	require.Equal(t, eventRoot+"acme.shop.c-1", m.Subject)
	require.Equal(t, "body", string(m.Data))
	require.Equal(t, []string{"1", "2"}, m.Header.Values("X"))
	require.Equal(t, seq, m.Sequence)
	require.Equal(t, uint64(1), m.Deliveries)
	require.WithinDuration(t, before, m.Received, time.Minute)
	require.Equal(t, m.Received.Add(time.Hour), m.Expires)
}

func TestOutcome_BecomesOfTheEvent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		handle func(try int) Outcome
		tries  int
		reason fault.Kind // of the dead letter, empty for none
	}{
		"ack":            {func(int) Outcome { return Ack() }, 1, ""},
		"dead letter":    {func(int) Outcome { return DeadLetter(fault.UnknownBot, "which?") }, 1, fault.UnknownBot},
		"panics always":  {func(int) Outcome { panic("boom") }, panicsMax, fault.Internal},
		"panics once":    {func(try int) Outcome { return panicOnce(try) }, 2, ""},
		"retry":          {func(try int) Outcome { return failOnce(try, Retry("away", errors.New("away"))) }, 2, ""},
		"the zero value": {func(try int) Outcome { return failOnce(try, Outcome{}) }, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, js, streams := setup(t, bus.StreamOptions{Partitions: 1})
			var tries atomic.Int64
			startReader(t, js, streams, Options{Handler: func(context.Context, *Message) Outcome {
				return c.handle(int(tries.Add(1)))
			}})
			publish(t, js, "c", 1)
			requireEmpty(t, streams)
			require.Equal(t, c.tries, int(tries.Load()))
			letters := bus.NewDeadLetters(js, streams)
			if c.reason == "" {
				require.Zero(t, letterCount(t, letters))
				return
			}
			require.Equal(t, c.reason, onlyLetter(t, letters).Reason)
		})
	}
}

func panicOnce(try int) Outcome {
	if try == 1 {
		panic("boom")
	}
	return Ack()
}

func failOnce(try int, o Outcome) Outcome {
	if try == 1 {
		return o
	}
	return Ack()
}

func TestReader_EventThatCannotBePassedOnHoldsOnlyItsConversation(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{})
	var away atomic.Bool
	away.Store(true)
	tried := make(chan struct{}, 1000)
	seen := newLedger()
	// One slot: a conversation that waits for another try must not occupy it.
	startReader(t, js, streams, Options{MaxInFlight: 1, Handler: func(_ context.Context, m *Message) Outcome {
		if m.Conversation == "stuck" && string(m.Data) == "0" && away.Load() {
			tried <- struct{}{}
			return Retry("away", errors.New("temporal is away"))
		}
		seen.note(m)
		return Ack()
	}})
	for n := range 5 {
		publish(t, js, "stuck", n)
	}
	<-tried
	for n := range 20 {
		publish(t, js, fmt.Sprintf("other-%d", n), n)
	}
	require.Eventually(t, func() bool { return seen.distinct() == 20 }, soon, poll)
	require.Zero(t, seen.count("stuck"))
	<-tried
	require.Zero(t, seen.count("stuck"))
	away.Store(false)
	requireEmpty(t, streams)
	require.Equal(t, 5, seen.count("stuck"))
	seen.requireOrder(t)
}

func TestReader_InvalidSubject(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{})
	startReader(t, js, streams, Options{Handler: func(context.Context, *Message) Outcome {
		t.Error("the handler must not be called")
		return Ack()
	}})
	for range 3 { // the second and third one are read from the stream
		publishRaw(t, js, &nats.Msg{Subject: eventRoot + "acme.b+t.c", Data: []byte("x")})
	}
	requireEmpty(t, streams)
	letters, err := bus.NewDeadLetters(js, streams).List(testContext(t), bus.DeadLetterFilter{})
	require.NoError(t, err)
	require.Len(t, letters, 3)
	require.Equal(t, fault.BadEvent, letters[0].Reason)
	require.Equal(t, []string{"acme", "_", "c"}, []string{letters[0].Tenant, letters[0].Bot, letters[0].Conversation})
	require.Equal(t, eventRoot+"acme.b+t.c", letters[0].Subject)
}

// A client library takes an empty message with a Status header for the server's own word, some of them for the end of
// the subscription. An engine must not be able to stop the intake with one, or to hide an event behind it.
func TestReader_EventThatLooksLikeAStatusIsHandled(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"400", "404", "409", "100"} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			_, js, streams := setup(t, bus.StreamOptions{Partitions: 1})
			seen := newLedger()
			startReader(t, js, streams, Options{Handler: seen.handle})
			publish(t, js, "c", 1)
			publishRaw(t, js, &nats.Msg{Subject: eventRoot + "acme.shop.c", Header: nats.Header{"Status": {status}}})
			publish(t, js, "c", 2)
			requireEmpty(t, streams)
			require.Equal(t, 3, seen.count("c"))
			seen.requireOrder(t)
		})
	}
}

// TestReader_RedeliveryOfHeldEvent: an event that is delivered again while it is handled, or while it waits, is handled
// once and acknowledged after that.
func TestReader_RedeliveryOfHeldEvent(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{Partitions: 1})
	entered, release := make(chan struct{}), make(chan struct{})
	seen := newLedger()
	r := startReader(t, js, streams, Options{AckWait: time.Hour, Handler: func(_ context.Context, m *Message) Outcome {
		seen.note(m)
		if string(m.Data) == "0" {
			close(entered)
			<-release
		}
		return Ack()
	}})
	publish(t, js, "c", 0)
	publish(t, js, "c", 1)
	<-entered
	p := onlyPartition(t, r)
	require.Eventually(t, func() bool { return p.deliveries(1) == 1 && p.deliveries(2) == 1 }, soon, poll)
	acks, err := js.Conn().SubscribeSync("$JS.ACK.HOOKTURN_EVENTS.>")
	require.NoError(t, err)
	// A nak makes the server deliver a message again at once, as it does by itself when AckWait ends.
	for seq := range 2 {
		require.NoError(t, js.Conn().Publish(
			fmt.Sprintf("$JS.ACK.HOOKTURN_EVENTS.hookturn-intake-0.1.%d.%d.0.0", seq+1, seq+1), []byte("-NAK")))
	}
	require.Eventually(t, func() bool { return p.deliveries(1) == 2 && p.deliveries(2) == 2 }, soon, poll)
	require.NoError(t, js.Conn().Flush())
	for range 2 {
		m, err := acks.NextMsgWithContext(testContext(t))
		require.NoError(t, err)
		require.Equal(t, "-NAK", string(m.Data))
	}
	queued, _, err := acks.Pending()
	require.NoError(t, err)
	require.Zero(t, queued, "acknowledged before the handler returned")
	require.Equal(t, uint64(2), eventsLeft(t, streams))
	close(release)
	requireEmpty(t, streams)
	require.Equal(t, map[uint64]int{1: 1, 2: 1}, seen.runs)
}

// Running or queued behind a running one: the reader must report every held event as in progress, or JetStream delivers it
// again.
func TestReader_HeldEventsReportedInProgress(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{Partitions: 1})
	const events = 3
	release := make(chan struct{})
	signs, err := js.Conn().SubscribeSync("$JS.ACK.HOOKTURN_EVENTS.>")
	require.NoError(t, err)
	handler := func(context.Context, *Message) Outcome {
		<-release
		return Ack()
	}
	startReader(t, js, streams, Options{AckWait: 2 * time.Second, Handler: handler})
	defer close(release)
	for n := range events {
		publish(t, js, "c", n)
	}
	heard := map[string]bool{}
	for len(heard) < events {
		m, err := signs.NextMsgWithContext(testContext(t))
		require.NoError(t, err)
		require.Equal(t, "+WPI", string(m.Data))
		heard[strings.Split(m.Subject, ".")[5]] = true
	}
	require.Equal(t, map[string]bool{"1": true, "2": true, "3": true}, heard)
}

func TestStop_LetsRunningHandlersFinishAndGivesTheRestBack(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{Partitions: 1})
	entered, release := make(chan struct{}), make(chan struct{})
	seen := newLedger()
	first := NewReader(js, streams, Options{closeTimeout: soon, Handler: func(_ context.Context, m *Message) Outcome {
		close(entered)
		<-release
		seen.note(m)
		return Ack()
	}})
	require.NoError(t, first.Start(testContext(t)))
	for n := range 3 {
		publish(t, js, "c", n)
	}
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- first.Stop(testContext(t)) }()
	<-first.sharing.Done()
	close(release)
	require.NoError(t, <-stopped)
	require.Equal(t, 1, seen.count("c"))
	require.Equal(t, uint64(2), eventsLeft(t, streams))
	startReader(t, js, streams, Options{Handler: seen.handle})
	requireEmpty(t, streams)
	require.Equal(t, map[uint64]int{1: 1, 2: 1, 3: 1}, seen.runs)
	seen.requireOrder(t)
}

// TestStop_AcknowledgementsAreProcessed: what the next reader reads from the stream must not hold handled events.
func TestStop_AcknowledgementsAreProcessed(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{Partitions: 1})
	const conversations = 50
	var entered sync.WaitGroup
	entered.Add(conversations)
	release := make(chan struct{})
	r := NewReader(js, streams, Options{AckWait: time.Hour, closeTimeout: soon, Handler: func(context.Context, *Message) Outcome {
		entered.Done()
		<-release
		return Ack()
	}})
	require.NoError(t, r.Start(testContext(t)))
	require.NoError(t, publishAll(testContext(t), js, conversations, 1))
	entered.Wait()
	p := onlyPartition(t, r)
	require.Eventually(t, func() bool { return p.deliveries(conversations) == 1 }, soon, poll, "JetStream has delivered all")
	signs, err := js.Conn().SubscribeSync("$JS.ACK.HOOKTURN_EVENTS.>")
	require.NoError(t, err)
	close(release)
	stopReader(t, r)
	require.Zero(t, eventsLeft(t, streams))
	for range conversations {
		m, err := signs.NextMsgWithContext(testContext(t))
		require.NoError(t, err)
		require.Equal(t, protocolAck, string(m.Data))
	}
	last, err := signs.NextMsgWithContext(testContext(t))
	require.NoError(t, err)
	require.NotEmpty(t, last.Reply, "JetStream answers when it has processed what came before")
}

func TestStop_CutsHandlersOffWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, bus.StreamOptions{Partitions: 1})
	entered := make(chan struct{})
	c := NewReader(js, streams, Options{Handler: func(ctx context.Context, _ *Message) Outcome {
		close(entered)
		<-ctx.Done()
		return Retry("cancelled", ctx.Err())
	}})
	require.NoError(t, c.Start(testContext(t)))
	publish(t, js, "c", 1)
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, c.Stop(ctx), context.Canceled)
	require.Equal(t, uint64(1), eventsLeft(t, streams))
}

// TestReader_StreamsMadeByHand reads streams with other subjects and partitions than those of Setup.
func TestReader_StreamsMadeByHand(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		subject, destination string
	}{
		"one partition":    {eventRoot + "*.*.*", ""},
		"wider subjects":   {eventRoot + ">", ""},
		"three partitions": {eventRoot + "*.*.*", eventRoot + "{{partition(3,1,2,3)}}.{{wildcard(1)}}.{{wildcard(2)}}.{{wildcard(3)}}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js := connectTo(t, startServer(t))
			config := jetstream.StreamConfig{Name: schemas.StreamEvents, Subjects: []string{c.subject}, Retention: jetstream.WorkQueuePolicy}
			if c.destination != "" {
				config.SubjectTransform = &jetstream.SubjectTransformConfig{Source: eventRoot + "*.*.*", Destination: c.destination}
			}
			_, err := js.CreateStream(testContext(t), config)
			require.NoError(t, err)
			streams, err := bus.Setup(testContext(t), js, bus.StreamOptions{})
			require.NoError(t, err)
			seen := newLedger()
			startReader(t, js, streams, Options{Handler: seen.handle})
			publish(t, js, "c", 1)
			requireEmpty(t, streams)
			require.Equal(t, 1, seen.count("c"))
		})
	}
}
