// Package step holds what crosses the Temporal boundary: names, ids, inputs and results of workflows, updates and
// activities. Names are API: runs that are open during an upgrade were started under them, so a name or a member changes
// only by addition.
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
)

// Activity types.
const (
	ActivityWebhook = "CallWebhook"
	ActivityPublish = "PublishReply"
)

// Search attributes, all keywords.
const (
	AttributeTenant       = "HookturnTenant"
	AttributeBot          = "HookturnBot"
	AttributeConversation = "HookturnConversation"
	AttributeStep         = "HookturnStep"
	AttributeOutcome      = "HookturnOutcome"
)

// Types of the application errors by which the Conversation workflow refuses an Update before it enters history.
const (
	// RefusedDuplicate: the event was handled already; the caller may acknowledge it.
	RefusedDuplicate = "duplicate_event"
	// RefusedTooLarge: the entities would not fit the conversation's state; the event belongs in the dead letters.
	RefusedTooLarge = "too_large"
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
func ConversationID(tenant, bot, conversation string) string {
	return "conversation/" + tenant + "/" + bot + "/" + schemas.ConversationToken(conversation)
}

// ID is the workflow id of a step that runs on its own.
func ID(tenant, bot, conversation, eventID string) string {
	return "step/" + tenant + "/" + bot + "/" + schemas.ConversationToken(conversation) + "/" + eventID
}
