package recovery

import (
	"encoding/hex"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	workflowpb "go.temporal.io/api/workflow/v1"

	"github.com/hookturn/hookturn/internal/dispatch"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

const (
	// giveUpAfter is how long a run is tried before its events are given up, where neither Temporal nor NATS is to blame.
	giveUpAfter = 10 * time.Minute
	// retryMax is the longest time between two tries of a run.
	retryMax = 2 * time.Minute
)

// endedRun is a run that ended early, and what was tried with it.
type endedRun struct {
	workflow, run string
	key           schemas.ConversationKey // by workflow id and search attribute; the conversation is "" when not known
	status        string
	begun, closed time.Time
	tries         dispatch.Tries
	next          time.Time // when the next try is due
}

func newEndedRun(info *workflowpb.WorkflowExecutionInfo) *endedRun {
	return &endedRun{
		workflow: info.GetExecution().GetWorkflowId(), run: info.GetExecution().GetRunId(), key: keyOf(info),
		status: info.GetStatus().String(), begun: info.GetStartTime().AsTime(), closed: info.GetCloseTime().AsTime(),
	}
}

// keyOf returns whose a run is. A workflow id has the token of a conversation; a search attribute may have its true id.
func keyOf(info *workflowpb.WorkflowExecutionInfo) schemas.ConversationKey {
	parts := strings.Split(info.GetExecution().GetWorkflowId(), "/")
	if len(parts) < 4 {
		return schemas.ConversationKey{}
	}
	key := schemas.BotID{Tenant: parts[1], Bot: parts[2]}.WithConversation("")
	shown := readKeyword(info.GetSearchAttributes().GetIndexedFields()[step.AttributeConversation])
	for _, id := range []string{shown, parts[3]} {
		if id != "" && schemas.ConversationToken(id) == parts[3] && !isHash(id) {
			key.Conversation = id
			break
		}
	}
	return key
}

// isHash reports whether an id has the form of a token that was made of another id.
func isHash(id string) bool {
	digits, found := strings.CutPrefix(id, "x")
	_, err := hex.DecodeString(digits)
	return found && len(digits) == 32 && err == nil
}

// readKeyword reads a search attribute, which no codec encrypts.
func readKeyword(payload *commonpb.Payload) string {
	var value string
	if payload == nil || step.DataConverter().FromPayload(payload, &value) != nil {
		return ""
	}
	return value
}

// arrival is that of the events of the run: other runs may have taken them, each from another starter's recovery.
func (e *endedRun) arrival() dispatch.Arrival {
	return dispatch.Arrival{Tries: e.tries, Stored: e.begun, Redelivered: true, Recovery: true}
}

// overdue reports whether the run was tried for so long that its events are given up.
func (e *endedRun) overdue() bool {
	return e.tries.Count > 0 && time.Since(e.tries.First) >= giveUpAfter
}

// failed records a try and sets the next one. The time before a failure that passes does not count: the run is not to blame
// for it.
func (e *endedRun) failed(now time.Time, err error) {
	if e.tries.Count == 0 || dispatch.Passing(err) {
		e.tries.First = now
	}
	e.next = now.Add(min(roundEvery<<min(e.tries.Count, 8), retryMax))
	e.tries.Count++
}
