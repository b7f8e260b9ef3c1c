package inspect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/serviceerror"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// answerSlack is how much earlier than its dead letter an event may have been answered, by the clocks of two servers.
const answerSlack = time.Minute

// AnsweredBy returns the run that has answered the event of a dead letter, from the stored replies. It is empty when the
// event has no reply, or only one of a starter, as that to an event of an unknown bot.
func (i *Inspector) AnsweredBy(ctx context.Context, letter bus.DeadLetter) (run schemas.WorkflowRef, err error) {
	envelope, readable := schemas.DecodeEnvelope(letter.Data)
	of, ok := schemas.ParseSubject(schemas.SubjectEvents, letter.Subject)
	if letter.Reason == fault.UnknownBot || !readable || !ok || envelope.Type != schemas.TypeStepRequested {
		return run, nil
	}
	key := of.BotID.WithConversation(envelope.Subject)
	id := schemas.ReplyID(key, envelope.ID, schemas.TypeStepReplied)
	tail := bus.Tail{ConversationKey: key, Since: letter.Time.Add(-answerSlack)}
	err = bus.ReadReplies(ctx, i.Streams, tail, func(stored bus.StoredReply) (more bool, err error) {
		data, answers := answerIn(stored, id)
		if answers {
			run = data.Workflow
		}
		return !answers, nil
	})
	return run, err
}

// answerIn returns what a stored reply holds, and whether it is the one of an id.
func answerIn(stored bus.StoredReply, id string) (data replyData, is bool) {
	var reply schemas.Reply
	is = json.Unmarshal(stored.Data, &reply) == nil && reply.ID == id && json.Unmarshal(reply.Data, &data) == nil
	return data, is
}

// Latest reports whether a run, or one that continues it, is the latest of its workflow: an event that it has answered is
// known to it, and is not answered again, also when it is closed.
func (i *Inspector) Latest(ctx context.Context, run schemas.WorkflowRef) (bool, error) {
	first, err := i.firstRun(ctx, run.ID, run.RunID)
	if first == "" || err != nil {
		return false, err
	}
	latest, err := i.firstRun(ctx, run.ID, "")
	return first == latest, err
}

// firstRun returns the run with which a chain of runs began; "" when the server does not keep it.
func (i *Inspector) firstRun(ctx context.Context, workflow, run string) (string, error) {
	found, err := i.Temporal.DescribeWorkflowExecution(ctx, workflow, run)
	if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look at run %s of %s: %w", run, workflow, err)
	}
	return found.GetWorkflowExecutionInfo().GetFirstRunId(), nil
}
