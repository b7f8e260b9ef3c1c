package schemas

import (
	"encoding/json"
	"time"
)

// Types of the replies that hookturn publishes (contract, section 2.4).
const (
	TypeStepReplied        = "hookturn.step.replied"
	TypeStepWaiting        = "hookturn.step.waiting"
	TypeStepProgress       = "hookturn.step.progress"
	TypeStepLate           = "hookturn.step.late"
	TypeMessageSent        = "hookturn.message.sent"
	TypeConversationClosed = "hookturn.conversation.closed"
)

// Outcome is how a step ended (contract, section 1).
type Outcome string

// The outcomes; the set is closed.
const (
	OutcomeSuccess     Outcome = "success"
	OutcomeFailure     Outcome = "failure"
	OutcomeBotBreak    Outcome = "bot_break"
	OutcomeHandover    Outcome = "handover"
	OutcomeContinued   Outcome = "continued"
	OutcomeAccepted    Outcome = "accepted"
	OutcomeDelivered   Outcome = "delivered"
	OutcomeUndelivered Outcome = "undelivered"
	OutcomeRejected    Outcome = "rejected"
)

// Outcomes lists the outcomes in the contract's order.
func Outcomes() []Outcome {
	return []Outcome{OutcomeSuccess, OutcomeFailure, OutcomeBotBreak, OutcomeHandover, OutcomeContinued, OutcomeAccepted,
		OutcomeDelivered, OutcomeUndelivered, OutcomeRejected}
}

// States of a conversation after a step, and why one was closed.
const (
	ConversationOpen     = "open"
	ConversationComplete = "complete"
	ConversationHandover = "handover"

	ClosedCompleted = "completed"
	ClosedIdle      = "idle"
	ClosedHandover  = "handover"
)

// Reply is one CloudEvents 1.0 event that goes back to the bot engine. Its ID is made by ReplyID, so publishing it
// twice stores it once.
type Reply struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"` // /hookturn/<tenant>/<bot>
	Type            string          `json:"type"`
	Time            time.Time       `json:"time"`
	Subject         string          `json:"subject"`
	DataContentType string          `json:"datacontenttype"`
	TraceParent     string          `json:"traceparent,omitempty"`
	TraceState      string          `json:"tracestate,omitempty"`
	Data            json.RawMessage `json:"data"`
}

// ReplyTypes lists the reply types in the contract's order.
func ReplyTypes() []string {
	return []string{TypeStepReplied, TypeStepWaiting, TypeStepProgress, TypeStepLate, TypeMessageSent,
		TypeConversationClosed}
}

// StepReplied is the data of hookturn.step.replied, how a step ended, and of hookturn.step.late, how it ended after its
// deadline. Written as JSON, Messages and Attempts are arrays and Conversation is a state even when they were never
// set. It has the members of the endpoint's answer under the names of dialect.Answer, but does not embed it: engines
// read this JSON, whose members stay as they are when a dialect or what a history records of an answer changes.
type StepReplied struct {
	EventID             string             `json:"event_id"`
	Step                string             `json:"step"`
	Outcome             Outcome            `json:"outcome"`
	Messages            []Message          `json:"messages"` // [] when nil
	Variables           map[string]*string `json:"variables,omitempty"`
	ConversationDetails json.RawMessage    `json:"conversation_details,omitempty"`
	UserDetails         json.RawMessage    `json:"user_details,omitempty"`
	Conversation        string             `json:"conversation"` // open when ""
	Output              json.RawMessage    `json:"output,omitempty"`
	Error               *Error             `json:"error,omitempty"`
	Attempts            []Attempt          `json:"attempts"` // [] when nil
	Workflow            WorkflowRef        `json:"workflow"`
}

// StepWaiting is the data of hookturn.step.waiting: the mandatory entities that are missing, in the bot file's order.
type StepWaiting struct {
	EventID  string      `json:"event_id"`
	Step     string      `json:"step"`
	Missing  []string    `json:"missing"`
	Workflow WorkflowRef `json:"workflow"`
}

// StepProgress is the data of hookturn.step.progress: what to tell the user while the step goes on.
type StepProgress struct {
	EventID  string      `json:"event_id"`
	Step     string      `json:"step"`
	Messages []Message   `json:"messages"` // [] when nil
	Workflow WorkflowRef `json:"workflow"`
}

// MessageSent is the data of hookturn.message.sent: what an adapter's owner sent to the client through the gateway.
type MessageSent struct {
	Adapter   string    `json:"adapter"`
	MessageID string    `json:"message_id,omitempty"` // as the sender gave it
	Messages  []Message `json:"messages"`             // [] when nil
}

// ConversationClosed is the data of hookturn.conversation.closed.
type ConversationClosed struct {
	Reason   string      `json:"reason"`
	Workflow WorkflowRef `json:"workflow"`
}

// Message is one message for the user: exactly one of Text, HSL and Payload is used, depending on Type.
type Message struct {
	Type    string          `json:"type"` // MessageText, MessageHSL or MessageCustom
	Text    string          `json:"text,omitempty"`
	HSL     json.RawMessage `json:"hsl,omitempty"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// Types of messages.
const (
	MessageText   = "text"
	MessageHSL    = "hsl"
	MessageCustom = "custom"
)

// Text returns a new text message.
func Text(text string) Message { return Message{Type: MessageText, Text: text} }

// HSL returns a new message of a Haptik rich element.
func HSL(element json.RawMessage) Message { return Message{Type: MessageHSL, HSL: element} }

// Custom returns a new message of any JSON that the engine's channel understands.
func Custom(payload json.RawMessage) Message { return Message{Type: MessageCustom, Payload: payload} }

// Error describes what failed, for the bot's builder: never a secret, never the endpoint's body.
type Error struct {
	Kind    string `json:"kind"` // an error code, contract section 7
	Status  int    `json:"status,omitempty"`
	Message string `json:"message"`
}

// Attempt is one HTTP request (or script run) made for a step, with its timings in milliseconds.
type Attempt struct {
	N           int       `json:"n"` // from 1
	Started     time.Time `json:"started"`
	URL         string    `json:"url"` // without query and user info
	Status      int       `json:"status,omitempty"`
	Error       string    `json:"error,omitempty"` // an error code
	DNSMs       float64   `json:"dns_ms"`
	ConnectMs   float64   `json:"connect_ms"`
	TLSMs       float64   `json:"tls_ms"`
	FirstByteMs float64   `json:"first_byte_ms"`
	TotalMs     float64   `json:"total_ms"`
	Bytes       int64     `json:"bytes"` // of the response body that were read
}

// WorkflowRef points at the run in the Temporal UI.
type WorkflowRef struct {
	ID    string `json:"id"`
	RunID string `json:"run_id"`
}
