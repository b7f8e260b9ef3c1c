package inspect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// answerSlack is how much earlier than its dead letter an event may have been answered, by the clocks of two servers.
const answerSlack = time.Minute

// Known is why a dead letter is not replayed whose event is known to its conversation, and KnownHint what to do instead.
const (
	Known     = "the conversation has answered the event, and would not answer it again"
	KnownHint = "publish the event under another id, or wait for the next conversation"
)

// Knows reports whether the conversation of a dead letter's event has answered it, and knows it still: it would not answer
// it again, and a replay would only delete the dead letter. connect returns the client of Temporal, which events that have
// no such reply do not need.
func (i *Inspector) Knows(ctx context.Context, letter bus.DeadLetter, connect func() (client.Client, error)) (bool, error) {
	run, err := i.answeredBy(ctx, letter)
	if run.ID == "" || err != nil {
		return false, err
	}
	temporal, err := connect()
	if err != nil {
		return false, err
	}
	return latest(ctx, temporal, run)
}

// answeredBy returns the run that has answered the event of a dead letter, from the stored replies. It is empty when the
// event has no reply, or only one of a starter, as that to an event of an unknown bot.
func (i *Inspector) answeredBy(ctx context.Context, letter bus.DeadLetter) (run schemas.WorkflowRef, err error) {
	document, _ := schemas.Document(letter.Header, letter.Data) // what can be read
	envelope, readable := schemas.DecodeEnvelope(document)
	of, ok := schemas.ParseSubject(schemas.SubjectEvents, letter.Subject)
	if letter.Reason == fault.UnknownBot || !readable || !ok || envelope.Type != schemas.TypeStepRequested {
		return run, nil
	}
	key := of.BotID.WithConversation(envelope.Subject)
	id := schemas.ReplyID(key, envelope.ID, schemas.TypeStepReplied)
	reply, err := bus.NewReplies(i.Streams).Find(ctx, key, id, letter.Time.Add(-answerSlack))
	if reply == nil || err != nil {
		return run, err
	}
	var data replyData
	_ = json.Unmarshal(reply.Data, &data) // what cannot be read names no run
	return data.Workflow, nil
}

// latest reports whether a run, or one that continues it, is the latest of its workflow: an event that it has answered is
// known to it, and is not answered again, also when it is closed.
func latest(ctx context.Context, temporal client.Client, run schemas.WorkflowRef) (bool, error) {
	first, err := firstRun(ctx, temporal, run.ID, run.RunID)
	if first == "" || err != nil {
		return false, err
	}
	last, err := firstRun(ctx, temporal, run.ID, "")
	return first == last, err
}

// firstRun returns the run with which a chain of runs began; "" when the server does not keep it.
func firstRun(ctx context.Context, temporal client.Client, workflow, run string) (string, error) {
	found, err := temporal.DescribeWorkflowExecution(ctx, workflow, run)
	if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look at run %s of %s: %w", run, workflow, err)
	}
	return found.GetWorkflowExecutionInfo().GetFirstRunId(), nil
}
