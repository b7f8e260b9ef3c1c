// Package step defines what crosses the Temporal boundary: names, ids, inputs and results of workflows, Updates and
// activities, and the reply built from them on either side. Names are API: an upgrade finds open runs that were started
// under them, so names and members are only added.
package step

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hookturn/hookturn/schemas"
)

// Task queues.
const (
	QueueMain = "hookturn"
	QueueCode = "hookturn-code"
	// QueueCodeAsync has the scripts for which no caller waits. The workers of QueueCode poll it, and take only what soon
	// gets a sandbox: the others wait at the server, where they are in the way of no other script.
	QueueCodeAsync = "hookturn-code-async"
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
	// ActivityCode runs the script of a code step, ActivityScript that of a channel; both on QueueCode, a script for which
	// no caller waits on QueueCodeAsync.
	ActivityCode   = "RunCode"
	ActivityScript = "RunScript"
	// ActivityAttemptScript is the first attempt at a channel's script: a request to a code worker.
	ActivityAttemptScript = "AttemptScript"
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
	// RejectedBusy: the run is about to continue as new; the next run handles the event.
	RejectedBusy = "busy"
	// RejectedLimit: the run has as many unanswered events as it takes at a time; it takes the event when one is answered.
	RejectedLimit = "event_limit"
	// RejectedCallback: no step waits for this callback, or the callback was already received.
	RejectedCallback = "callback_closed"
	// RejectedEarly: the run does not know the event. A crash lost the step that called the endpoint; the event is
	// redelivered.
	RejectedEarly = "callback_early"
	// RejectedAnswer: the posted body is not a valid response; the step keeps waiting.
	RejectedAnswer = "bad_answer"
)

// UpdateName returns the name of the Update that carries an event of a type: the type without its prefix.
func UpdateName(eventType string) string { return strings.TrimPrefix(eventType, "hookturn.") }

// EventType returns the type of the events that an Update carries.
func EventType(updateName string) string { return "hookturn." + updateName }

// UpdateNames returns the Updates of a Conversation, in a fixed order.
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

// ConversationID returns the workflow id of a conversation. It contains the conversation as its subject token, so that
// an id contains only characters that a subject may contain.
func ConversationID(key schemas.ConversationKey) string {
	return "conversation/" + key.Tenant + "/" + key.Bot + "/" + schemas.ConversationToken(key.Conversation)
}

// QueueID returns the workflow id of a step's background queue.
func QueueID(owner schemas.BotID, step string) string {
	return "queue/" + owner.Tenant + "/" + owner.Bot + "/" + schemas.EncodeID(step)
}

// ID returns the workflow id of an unordered step.
func ID(key schemas.ConversationKey, eventID string) string {
	return IDPrefix(key) + schemas.EncodeID(eventID)
}

// IDPrefix returns the beginning of the workflow ids of a conversation's unordered steps.
func IDPrefix(key schemas.ConversationKey) string {
	return "step/" + key.Tenant + "/" + key.Bot + "/" + schemas.ConversationToken(key.Conversation) + "/"
}

// UpdateID returns the id of the Update that carries an event. AgainID is for the same event when the run that had
// accepted it no longer exists: the next run must not confuse it with the first Update, which ended with its run.
func UpdateID(eventID string) string { return schemas.EncodeID(eventID) }

// CallbackID returns the id of the Update that carries a body which was posted to the callback address of an event. A body
// that is posted again is the same Update.
func CallbackID(eventID string, body []byte) string {
	sum := sha256.Sum256(body)
	return "callback/" + schemas.EncodeID(eventID) + "/" + hex.EncodeToString(sum[:8])
}

// AgainID is never the UpdateID of another event, because the result of EncodeID does not contain dots.
func AgainID(eventID string) string { return schemas.EncodeID(eventID) + ".again" }

// Searchable returns an id as a search attribute holds it: as it is while it has at most 255 printable characters and can be
// searched, else as its token, because a keyword has a bound.
func Searchable(id string) string {
	const most = 255
	if len(id) <= most*utf8.UTFMax && utf8.RuneCountInString(id) <= most && !strings.ContainsFunc(id, unprintable) &&
		found(id) {
		return id
	}
	return schemas.ConversationToken(id)
}

// found reports whether Temporal finds a value on all databases: its server writes " and \ into the query of PostgreSQL and
// SQLite as MySQL expects them, and removes ' at both ends.
func found(id string) bool {
	return !strings.ContainsAny(id, `"\`) && strings.Trim(id, "'") == id
}

// Quote returns a text as a string of Temporal's visibility query language.
func Quote(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(text) + "'"
}

// ClockSlack is how far the clocks of NATS and Temporal may be apart.
const ClockSlack = time.Minute

func unprintable(r rune) bool { return !unicode.IsPrint(r) }
