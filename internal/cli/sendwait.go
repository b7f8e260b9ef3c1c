package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/transient"
	"github.com/hookturn/hookturn/schemas"
)

// Ends of the wait for a reply.
const (
	resultReplied    = "replied"
	resultRejected   = "rejected"
	resultWaiting    = "waiting"
	resultDeadLetter = "dead_letter"
	resultNoReply    = "no_reply"
)

const (
	// clockDrift is how much the clocks of this machine and of NATS may differ: replies since then are read.
	clockDrift = 10 * time.Minute
	// repliesKept is how long replies are stored; those to a duplicate may be that old.
	repliesKept = 72 * time.Hour
)

// errAnswered ends the reading of replies.
var errAnswered = errors.New("answered")

// storeAndWait publishes the event and passes its replies on until an end. end is how it ended, nil for the step's reply;
// err is what failed before.
func (o *send) storeAndWait(whole context.Context, cmd *cobra.Command, js bus.JetStream, raw []byte) (end, err error) {
	letters, err := o.last(whole, js, schemas.StreamDeadLetters)
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	answers := awaitedOf(o.ConversationKey, o.id, o.eventType)
	if answers.others {
		if answers.before, err = o.last(whole, js, schemas.StreamReplies); err != nil {
			return nil, fmt.Errorf("read replies: %w", err)
		}
	}
	if err := o.store(whole, cmd, js, raw); err != nil {
		return nil, err
	}
	since := answers.stored(time.Now(), o.result.Duplicate)
	ctx, cancel := context.WithTimeout(whole, o.wait)
	defer cancel()
	var letter *bus.DeadLetter
	var unread error
	read := make(chan struct{})
	go func() {
		defer close(read)
		if letter, unread = o.letter(ctx, js, letters); letter != nil || unread != nil {
			cancel()
		}
	}()
	ended, failed := o.follow(ctx, cmd, js, since, &answers)
	waited := ctx.Err()
	cancel()
	<-read
	switch {
	case errors.Is(failed, errAnswered):
		return ended, nil
	case letter != nil:
		return o.deadLetter(*letter), nil
	case unread != nil:
		return nil, unread
	}
	return o.endOf(whole, waited, &answers, failed, ended)
}

// letter returns the dead letter that the event becomes, nil when it became none until ctx ended. It reads those behind a
// sequence.
func (o *send) letter(ctx context.Context, js bus.JetStream, after uint64) (found *bus.DeadLetter, err error) {
	err = transient.Retry(ctx, 2*o.wait, func(ctx context.Context) error { // twice: ctx ends first
		return bus.FollowDeadLetters(ctx, js, o.ConversationKey, after, func(l bus.DeadLetter) error {
			if l.EventSequence != o.result.Sequence {
				return nil
			}
			found = &l
			return errAnswered
		})
	})
	if errors.Is(err, errAnswered) || ctx.Err() != nil {
		err = nil
	}
	return found, err
}

// follow passes the replies since a time on until an end or until ctx, which lasts for the wait, ends. It begins again while
// the server is busy.
func (o *send) follow(
	ctx context.Context, cmd *cobra.Command, js bus.JetStream, since time.Time, answers *awaited,
) (ended, failed error) {
	failed = transient.Retry(ctx, 2*o.wait, func(ctx context.Context) error { // twice: ctx ends first
		return bus.Follow(ctx, js, bus.Tail{ConversationKey: o.ConversationKey, Since: since}, nil,
			func(r bus.StoredReply) (err error) { ended, err = o.received(cmd, answers, r); return err })
	})
	return ended, failed
}

// last returns the sequence of the last message of a stream.
func (o *send) last(ctx context.Context, js bus.JetStream, stream string) (last uint64, err error) {
	err = o.retry(ctx, func(ctx context.Context) error {
		opened, err := js.Stream(ctx, stream)
		if err == nil {
			last = opened.CachedInfo().State.LastSeq
		}
		return err
	})
	return last, err
}

// endOf returns how the wait ended without an answer. waited is the end of the time, nil when reading replies ended before
// it. An error of a read that the end of the wait cut short names no reason.
func (o *send) endOf(whole context.Context, waited error, answers *awaited, err, ended error) (end, failed error) {
	switch {
	case whole.Err() != nil: // reading may have failed for it
		return nil, fmt.Errorf("waiting for the reply was interrupted: %w", whole.Err())
	case err != nil && waited == nil:
		return nil, err
	case o.result.Result == resultWaiting: // a duplicate whose step still waits
		return ended, nil
	}
	o.result.Result = resultNoReply
	if answers.others && answers.waiting == "" {
		return problem(kindFailed, "no reply within %s: the conversation has no step that waits for entities", o.wait).
			do("request the step: the entities are stored for it"), nil
	}
	return problem(kindFailed, "no reply within %s", o.wait).
		do("check that a starter and a worker run; \"starter tail --bot " + o.Bot + "\" prints replies as they come"), nil
}

// received passes a reply to the event on, and returns errAnswered with the end for the one that ends the wait.
func (o *send) received(cmd *cobra.Command, answers *awaited, r bus.StoredReply) (end, stop error) {
	reply, ours := answers.next(r)
	if !ours {
		return nil, nil
	}
	if o.output == formatJSON {
		o.result.Replies = append(o.result.Replies, r.Data)
	} else if err := printReply(cmd.OutOrStdout(), r); err != nil {
		return nil, err
	}
	data := reply.Data
	switch {
	case reply.Type == schemas.TypeStepReplied && data.Outcome == schemas.OutcomeRejected:
		o.result.Result = resultRejected
		reason := "without a reason"
		if data.Error != nil {
			reason = data.Error.Kind + ": " + data.Error.Message
		}
		what := "the event"
		if data.EventID != o.id {
			what = "the step " + data.Step
		}
		return problem(kindInvalid, "%s was rejected: %s", what, reason), errAnswered
	case reply.Type == schemas.TypeStepReplied, reply.Type == schemas.TypeConversationClosed:
		o.result.Result = resultReplied
		return nil, errAnswered
	case reply.Type == schemas.TypeStepWaiting:
		o.result.Result = resultWaiting
		waits := problem(kindPartly, "the step %s waits for entities: %s", data.Step, strings.Join(data.Missing, ", ")).
			do("send them with --type " + schemas.TypeEntitiesCollected + ", or in \"entities\" of --data")
		if o.result.Duplicate {
			return waits, nil // the reply may be stored behind it
		}
		return waits, errAnswered
	}
	return nil, nil
}

// deadLetter returns the end of an event that became a dead letter.
func (o *send) deadLetter(l bus.DeadLetter) error {
	o.result.Result, o.result.DeadLetter = resultDeadLetter, &sentLetter{string(l.Reason), l.Detail}
	return problem(kindInvalid, "the event became the dead letter of the reason %s: %s", l.Reason, l.Detail).
		do("\"starter deadletters list\" has it")
}
