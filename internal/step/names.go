// Package step holds what crosses the Temporal boundary: names, ids, inputs and results of workflows, updates and
// activities, and the reply that follows from them on either side. Names are API: runs that are open during an upgrade were
// started under them, so a name or a member changes only by addition.
package step

import (
	"strings"

	"github.com/hookturn/hookturn/schemas"
)

// Task queues.
const (
	QueueMain = "hookturn"
	QueueCode = "hookturn-code"
)

// Workflow types.
const (
	WorkflowConversation = "Conversation"
	WorkflowStep         = "Step"
	WorkflowQueue        = "Queue"
)

// UpdateCallback is the Update by which an endpoint that answered 202 calls back. Unlike the others it carries no event.
const UpdateCallback = "callback"

// SignalQueued wakes a background queue.
const SignalQueued = "queued"

// Activity types.
const (
	ActivityWebhook = "CallWebhook"
	ActivityPublish = "PublishReply"
	// ActivityAnswer reads what an endpoint posted to the callback address, as if it had been its answer.
	ActivityAnswer = "ReadAnswer"
	// ActivityEnqueue puts a step into its background queue and wakes the queue's workflow.
	ActivityEnqueue = "Enqueue"
	// ActivityQueueHead reads the oldest step of a background queue, ActivityQueueDone removes it.
	ActivityQueueHead = "ReadQueueHead"
	ActivityQueueDone = "RemoveQueueHead"
	// ActivityCode runs the script of a code step, ActivityScript that of a channel; both on QueueCode.
	ActivityCode   = "RunCode"
	ActivityScript = "RunScript"
)

// Search attributes: keywords, but for AttributeFailures, a whole number.
const (
	AttributeTenant       = "HookturnTenant"
	AttributeBot          = "HookturnBot"
	AttributeConversation = "HookturnConversation"
	AttributeStep         = "HookturnStep"
	AttributeOutcome      = "HookturnOutcome"
	AttributeUser         = "HookturnUser"
	AttributeFailures     = "HookturnFailures"
)

// Values of AttributeOutcome beside the outcomes of steps.
const (
	OutcomeWaiting  = "waiting"  // for mandatory entities
	OutcomeCallback = "callback" // for the endpoint's callback
)

// Types of the application errors by which the Conversation workflow rejects an Update before it enters history.
const (
	// RejectedDuplicate: the event was handled already; the caller may acknowledge it.
	RejectedDuplicate = "duplicate_event"
	// RejectedTooLarge: the entities would not fit the conversation's state; the event belongs in the dead letters.
	RejectedTooLarge = "too_large"
	// RejectedBusy: the run is about to continue as new; the next run takes the event.
	RejectedBusy = "busy"
	// RejectedCallback: no step waits for this call back, or it was made already.
	RejectedCallback = "callback_closed"
	// RejectedEarly: the run does not know the event. A crash undid what had asked the endpoint, and the event comes again.
	RejectedEarly = "callback_early"
	// RejectedAnswer: what was posted cannot be read as an answer; the step waits on.
	RejectedAnswer = "bad_answer"
)

// UpdateName is the name of the Update that carries an event of a type: the type without its prefix.
func UpdateName(eventType string) string { return strings.TrimPrefix(eventType, "hookturn.") }

// UpdateNames lists the Updates that a Conversation takes, in a fixed order.
func UpdateNames() []string {
	return []string{
		UpdateName(schemas.TypeStepRequested),
		UpdateName(schemas.TypeEntitiesCollected),
		UpdateName(schemas.TypeMessageReceived),
		UpdateName(schemas.TypeConversationEvent),
		UpdateName(schemas.TypeConversationHandover),
		UpdateName(schemas.TypeConversationEnded),
	}
}

// ConversationID is the workflow id of a conversation. The conversation is its subject token, so that an id never holds
// what a subject may not.
func ConversationID(key schemas.ConversationKey) string {
	return "conversation/" + key.Tenant + "/" + key.Bot + "/" + schemas.ConversationToken(key.Conversation)
}

// QueueID is the workflow id of a step's background queue.
func QueueID(owner schemas.BotID, step string) string {
	return "queue/" + owner.Tenant + "/" + owner.Bot + "/" + schemas.EncodeID(step)
}

// ID is the workflow id of a step that runs on its own.
func ID(key schemas.ConversationKey, eventID string) string {
	return "step/" + key.Tenant + "/" + key.Bot + "/" + schemas.ConversationToken(key.Conversation) + "/" + schemas.EncodeID(eventID)
}

// UpdateID is the id of the Update that carries an event. AgainID is that of the same event when the run that had accepted it
// is gone: the run behind it must not take it for the first one, which ended with its run.
func UpdateID(eventID string) string { return schemas.EncodeID(eventID) }

// AgainID is never the UpdateID of another event: EncodeID returns no dots.
func AgainID(eventID string) string { return schemas.EncodeID(eventID) + ".again" }
