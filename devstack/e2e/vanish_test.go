package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/internal/permissions"
	"github.com/hookturn/hookturn/schemas"
)

// stranger publishes events and reads replies without hookturn's own code: it creates nothing that is missing.
type stranger struct {
	js   jetstream.JetStream
	sent atomic.Int64
}

func newStranger(t *testing.T, natsURL string) *stranger {
	t.Helper()
	nc, err := nats.Connect(userURL(natsURL, permissions.Operator), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond),
		nats.CustomInboxPrefix(permissions.InboxPrefix(permissions.Operator)))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	s := &stranger{}
	s.js, err = jetstream.New(nc)
	require.NoError(t, err)
	return s
}

// ask publishes one step of a new conversation and returns the conversation.
func (s *stranger) ask(ctx context.Context) (string, error) {
	conversation := fmt.Sprintf("vanish-%d", s.sent.Add(1))
	event := fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":"/x","type":"hookturn.step.requested","time":%q,"subject":%q,`+
		`"data":{"step":"ORDER","user":{"id":"7"}}}`, uuid.NewString(), time.Now().UTC().Format(time.RFC3339Nano), conversation)
	_, err := s.js.Publish(ctx, "hookturn.events.default.shop."+conversation, event)
	return conversation, err
}

// outcome returns how the step of a conversation ended; "" when no reply of it is found.
func (s *stranger) outcome(ctx context.Context, conversation string) schemas.Outcome {
	replies, err := s.js.Stream(ctx, schemas.StreamReplies)
	if err != nil {
		return ""
	}
	m, err := replies.GetLastMsgForSubject(ctx, "hookturn.replies.default.shop."+conversation)
	if err != nil {
		return ""
	}
	var reply struct {
		Data schemas.StepReplied `json:"data"`
	}
	if json.Unmarshal(m.Data, &reply) != nil {
		return ""
	}
	return reply.Data.Outcome
}

// serves waits until an event that is published from now on succeeds. A step that begins while something is missing yet may
// end in another way, once: then the next event is tried.
func (s *stranger) serves(t *testing.T, after string) {
	t.Helper()
	conversation, lost := "", false
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if conversation == "" {
			asked, err := s.ask(ctx)
			if err != nil {
				return false
			}
			conversation = asked
		}
		ended := s.outcome(ctx, conversation)
		if ended != "" && ended != schemas.OutcomeSuccess && !lost {
			t.Logf("%s ended as %s", conversation, ended)
			conversation, lost = "", true
		}
		return ended == schemas.OutcomeSuccess
	}, patience, 50*time.Millisecond, "nothing is answered after %s", after)
}

// created waits until streams are there.
func (s *stranger) created(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		require.Eventually(t, func() bool {
			_, err := s.js.Stream(t.Context(), name)
			return err == nil
		}, patience, 50*time.Millisecond, "%s is not created again", name)
	}
}

// TestVanish_EachStreamAndTheVolume deletes each stream and then all buckets while events come, and then starts NATS on an
// empty volume: no process is restarted, and new events are answered each time. TestDrill_DeletedBuckets deletes the buckets
// one by one.
func TestVanish_EachStreamAndTheVolume(t *testing.T) {
	t.Parallel()
	samples := endpoint.New(endpoint.Options{LedgerSize: 20_000})
	samples.Handle("/orders", ok)
	a := startApart(t, samples)
	s := newStranger(t, a.nats.URL())
	s.serves(t, "the start")

	ctx, cancel := context.WithCancel(t.Context())
	traffic := make(chan struct{})
	go func() {
		defer close(traffic)
		for ctx.Err() == nil {
			try, done := context.WithTimeout(ctx, time.Second)
			_, _ = s.ask(try) // some are lost with their stream
			done()
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-traffic })

	var names []string
	for name := range s.js.StreamNames(t.Context()).Name() {
		names = append(names, name)
	}
	require.GreaterOrEqual(t, len(names), 13, "%v", names)
	isBucket := func(name string) bool { return strings.HasPrefix(name, "KV_") || strings.HasPrefix(name, "OBJ_") }
	streams := slices.DeleteFunc(slices.Clone(names), isBucket)
	require.Greater(t, len(names), len(streams))
	require.NotEmpty(t, streams)
	vanish := func(names ...string) {
		t.Helper()
		for _, name := range names {
			deleteStream(t, s.js, name)
		}
		s.created(t, names...)
		s.serves(t, "deleting "+strings.Join(names, ", "))
	}
	for _, name := range streams {
		vanish(name)
	}
	vanish(slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !isBucket(name) })...)

	a.nats.Stop()
	require.NoError(t, os.RemoveAll(filepath.Join(a.dir, "nats")))
	a.startNATS(t)
	s.created(t, names...)
	s.serves(t, "the loss of the volume")
}
