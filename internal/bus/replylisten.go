package bus

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/schemas"
)

// Bounds returns the sequence with which the reply stream began and the latest one, which is one less before the first
// reply. Lower sequences than first are of a stream that vanished; those of replies that have expired since are not lower.
func (r *Replies) Bounds(ctx context.Context) (first, last uint64, err error) {
	info, err := r.streams.replies.Info(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("read the state of the reply stream: %w", err)
	}
	return max(info.Config.FirstSeq, 1), info.State.LastSeq, nil
}

// replyWaits are the subscriptions of a process for the replies of single conversations, by subject. All that wait for one
// conversation share a subscription: with one for each, the server would queue a reply as many times as requests wait for
// it, on the connection that serves all tenants.
type replyWaits struct {
	mu       sync.Mutex
	subjects map[string]*replySubject
}

type replySubject struct {
	stop  func()
	waits map[*replyWait]struct{}
}

type replyWait struct {
	ids   []string
	found chan schemas.Reply
}

// Listen returns the first reply of a conversation, from now on, that has one of the ids; all calls for one conversation
// cost the server one subscription. The channel receives at most one reply, and is never closed. A reply that is published
// while the connection is lost is missed: Find finds it.
func (r *Replies) Listen(of schemas.ConversationKey, ids []string) (found <-chan schemas.Reply, stop func(), err error) {
	if !of.Valid() {
		return nil, nil, fault.New(fault.BadEvent, "tenant and bot must be of the form [A-Za-z0-9_-]{1,64}")
	}
	subject, w := schemas.Subject(schemas.SubjectReplies, of), &replyWait{ids, make(chan schemas.Reply, 1)}
	r.waits.mu.Lock()
	defer r.waits.mu.Unlock()
	s := r.waits.subjects[subject]
	if s == nil {
		s = &replySubject{waits: map[*replyWait]struct{}{}}
		sub, err := natsclient.ConnOf(r.streams.js).Subscribe(subject, func(m *nats.Msg) { r.waits.receive(s, m) })
		if err != nil {
			return nil, nil, fmt.Errorf("listen for the replies of a conversation: %w", err)
		}
		s.stop = func() { _ = sub.Unsubscribe() }
		if r.waits.subjects == nil {
			r.waits.subjects = map[string]*replySubject{}
		}
		r.waits.subjects[subject] = s
	}
	s.waits[w] = struct{}{}
	return w.found, sync.OnceFunc(func() { r.waits.end(subject, s, w) }), nil
}

// end removes one wait, and the subscription with the last one.
func (r *replyWaits) end(subject string, s *replySubject, w *replyWait) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(s.waits, w)
	if len(s.waits) == 0 {
		s.stop()
		delete(r.subjects, subject)
	}
}

// receive hands a reply to the calls that wait for it.
func (r *replyWaits) receive(s *replySubject, m *nats.Msg) {
	id := HeaderValue(m.Header, jetstream.MsgIDHeader)
	r.mu.Lock()
	var waits []*replyWait
	for w := range s.waits {
		if slices.Contains(w.ids, id) {
			waits = append(waits, w)
		}
	}
	r.mu.Unlock()
	if len(waits) == 0 {
		return
	}
	reply := decodeReply(m.Data, id)
	if reply == nil {
		return
	}
	for _, w := range waits {
		select {
		case w.found <- *reply:
		default: // the first one counts
		}
	}
}
