package step

import (
	"encoding/json"
	"time"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// Delivery is one event on its way into a workflow: the argument of an Update. It carries what the bot file said when the
// event arrived, so that history records it at no extra cost and a reload cannot change a running step.
type Delivery struct {
	Event schemas.Event `json:"event"`
	// Plan is the step that the event asks for; nil for events that ask for none.
	Plan *bot.Plan `json:"plan,omitempty"`
	// Adapters are the ways to deliver an event that names no adapter, by adapter: a handed-over conversation takes that of
	// the side it was handed to.
	Adapters map[string]bot.Plan `json:"adapters,omitempty"`
	// Refused says why the event cannot be served though it is valid: an unknown step, for example.
	Refused *fault.Fault `json:"refused,omitempty"`
	// IdleTimeout is the bot's when the event arrived; the conversation takes it over.
	IdleTimeout bot.Duration `json:"idle_timeout,omitempty"`
	// UsefulUntil is the event's latest useful moment; nil means always useful.
	UsefulUntil *time.Time `json:"useful_until,omitempty"`
	// Size is how long the event is with its plan, in bytes, for the run's bounds; 0 = unknown (starters of earlier releases).
	Size int `json:"size,omitempty"`
}

// Format is the set of rules that a run follows. It is fixed when the run starts, so that every release that knows the format
// gives the same commands for it; a run that continues as new takes the latest.
type Format int

const (
	// FormatLingering is of runs from before there were formats: they stay open until they are idle, after a close too.
	FormatLingering Format = 0
	// FormatCompleting is of runs that complete when their conversation is closed.
	FormatCompleting Format = 1
	// FormatLatest is the format of new runs.
	FormatLatest = FormatCompleting
)

// EventsPerRun is the number for new conversations. The server keeps a note of every Update in the record of its run and
// writes that record with every step, so a step costs the more the more steps came before it (docs/benchmarks).
const EventsPerRun = 128

// State is the input of a Conversation: all that one run hands to the next when it continues as new.
type State struct {
	schemas.ConversationKey

	IdleTimeout bot.Duration `json:"idle_timeout"`

	Open           bool                        `json:"open,omitempty"` // a step was requested and the chat was not closed since
	LastEvent      time.Time                   `json:"last_event,omitzero"`
	LastEventID    string                      `json:"last_event_id,omitempty"`
	User           schemas.User                `json:"user"`
	ConversationNo int64                       `json:"conversation_no,omitempty"`
	Entities       map[string][]schemas.Entity `json:"entities,omitempty"`
	Variables      map[string]string           `json:"variables,omitempty"`
	Details        json.RawMessage             `json:"details,omitempty"`   // conversation_details
	Waiting        *Delivery                   `json:"waiting,omitempty"`   // the step that waits for entities
	HandedTo       string                      `json:"handed_to,omitempty"` // the adapter that took the chat over
	Round          string                      `json:"round,omitempty"`     // id of the event that opened the conversation
	Params         map[string]json.RawMessage  `json:"params,omitempty"`    // of the events of the conversation; later ones win

	// EventsPerRun is how many events a run takes before it continues as new; 0 leaves that to the server, which suggests it
	// much later (runs from before there was such a number).
	EventsPerRun int `json:"events_per_run,omitempty"`

	Format Format `json:"format,omitempty"`

	Seen   []string `json:"seen,omitempty"`   // ids of the latest events, oldest first
	Recent []Recent `json:"recent,omitempty"` // the latest steps, oldest first, for the UI

	Steps       int             `json:"steps,omitempty"` // that ended in this conversation
	LastOutcome schemas.Outcome `json:"last_outcome,omitempty"`
	Failed      int             `json:"failed,omitempty"`   // how many of the steps failed
	Failures    []Recent        `json:"failures,omitempty"` // the latest of those, oldest first
}

// ConversationResult is what a completed run of a conversation leaves behind. A starter recognises a redelivered event by
// EventIDs; the rest is for people.
type ConversationResult struct {
	Steps       int             `json:"steps"` // that ended
	LastOutcome schemas.Outcome `json:"last_outcome,omitempty"`
	Closed      bool            `json:"closed"` // false: the run was idle, and no conversation was open
	Reason      string          `json:"reason"` // as hookturn.conversation.closed has it
	Failures    []Recent        `json:"failures,omitempty"`
	EventIDs    []string        `json:"event_ids"` // the latest events, oldest first
}

// Recent is one line of the table of the latest steps in the Temporal UI.
type Recent struct {
	At       time.Time       `json:"at"`
	Step     string          `json:"step"`
	Outcome  schemas.Outcome `json:"outcome"`
	Error    string          `json:"error,omitempty"`
	Attempts int             `json:"attempts,omitempty"`
	Millis   int64           `json:"ms"`
	UserText string          `json:"user_text,omitempty"` // what the user read when the step failed
}

// Request is the input of the Step workflow: one step that belongs to no lane.
type Request struct {
	schemas.ConversationKey

	Delivery Delivery `json:"delivery,omitzero"`
	// Script is a run for a channel instead of a step of the bot; everything else is empty then.
	Script *ScriptRun `json:"script,omitempty"`
	Format Format     `json:"format,omitempty"`
}

// ScriptRun is one run of a script for a channel. Params and Body are what came from outside.
type ScriptRun struct {
	ID      string       `json:"id"`      // of the request that asked for it
	Plan    bot.Plan     `json:"plan"`    // of the script
	Channel string       `json:"channel"` // code of the channel
	Timeout bot.Duration `json:"timeout"`

	Params    []json.RawMessage `json:"params"`          // startparam(1) and so on
	Event     json.RawMessage   `json:"event,omitempty"` // members of event beside the body
	Body      []byte            `json:"body,omitempty"`
	BodyParam int               `json:"body_param,omitempty"` // the place of the body among all params, from 1; 0 = none
}

// ScriptResult is how a ScriptRun ended.
type ScriptResult struct {
	Value json.RawMessage `json:"value,omitempty"` // what main returned
	Fault *fault.Fault    `json:"fault,omitempty"` // why the run failed; nil = it did not
	Log   string          `json:"log,omitempty"`   // what the script wrote, for the bot's builder
}

// Result is what an Update and a Step workflow return: the line that a support desk wants to see in the UI.
type Result struct {
	Outcome  schemas.Outcome `json:"outcome,omitempty"` // empty when the event ended no step
	Waiting  []string        `json:"waiting,omitempty"` // missing mandatory entities
	Error    string          `json:"error,omitempty"`
	Attempts int             `json:"attempts,omitempty"`
	ReplyID  string          `json:"reply_id,omitempty"`
	Closed   string          `json:"closed,omitempty"`    // why the conversation was closed by this event
	UserText string          `json:"user_text,omitempty"` // what the user read when the step failed
	Script   *ScriptResult   `json:"script,omitempty"`    // of a channel's script
}

// WebhookInput is the input of the webhook activity: the step as it stands and the attempts that were made before.
type WebhookInput struct {
	Plan           bot.Plan                    `json:"plan"`
	Event          schemas.Event               `json:"event"`
	User           schemas.User                `json:"user"`
	ConversationNo int64                       `json:"conversation_no,omitempty"`
	Entities       map[string][]schemas.Entity `json:"entities,omitempty"`
	Variables      map[string]string           `json:"variables,omitempty"`
	Details        json.RawMessage             `json:"details,omitempty"`
	// Params are those of earlier events of the conversation's round, which stay with it; the event's own come on top.
	Params map[string]json.RawMessage `json:"params,omitempty"`
	// Round is the id of the event that opened this round of the conversation; "" = not known.
	Round    string    `json:"round,omitempty"`
	Deadline time.Time `json:"deadline"` // of the step: no attempt goes on after it
	// Accepted is when the step began, by the server's clock. What a later step of the user has written is not overwritten by
	// an earlier one's.
	Accepted time.Time `json:"accepted,omitzero"`
	// Left is what is left until Deadline when the activity is scheduled: an activity cannot compare Deadline with the clock
	// of its own machine. 0 = not said.
	Left time.Duration `json:"left,omitempty"`
	// Progress is what attempts before this activity left behind; a retry of the activity itself brings its own.
	Progress Progress `json:"progress"`
	// Reply asks to publish step.replied with the endpoint's answer, and spares the step an activity of its own for that.
	Reply bool `json:"reply,omitempty"`
}

// Progress is what survives a failed attempt. Temporal keeps only the last failure of an activity, so the attempts travel
// as data: in heartbeats between the attempts of one activity, in error details between activities.
type Progress struct {
	Attempts []schemas.Attempt `json:"attempts,omitempty"`
	// UserDetails is the user's store as the first attempt read it: every attempt of a step sends the same bytes.
	UserDetails json.RawMessage `json:"user_details,omitempty"`
	// Read says that UserDetails was read, so that an absent store is told apart from one not read yet.
	Read bool `json:"read,omitempty"`
	// RetryIn is the wait before the next attempt, jitter included; 0 when there must be none.
	RetryIn time.Duration `json:"retry_in,omitempty"`
	// Fault is why the last attempt failed.
	Fault *fault.Fault `json:"fault,omitempty"`
	// Running is the attempt that was under way at the latest heartbeat. When it is found there by a repetition in another
	// process, its worker was lost and its outcome is not known.
	Running *schemas.Attempt `json:"running,omitempty"`
	// NotBegun says that the activity failed before its script began. Whatever does not say so may have begun.
	NotBegun bool `json:"not_begun,omitempty"`
}

// WebhookResult is the endpoint's answer, mapped to what the conversation and the reply need.
type WebhookResult struct {
	Success      bool               `json:"success"`              // false: the endpoint said that the step failed
	CallsBack    bool               `json:"calls_back,omitempty"` // the endpoint said 202: the answer comes to the gateway
	Messages     []schemas.Message  `json:"messages,omitempty"`
	Variables    map[string]*string `json:"variables,omitempty"`
	Details      json.RawMessage    `json:"details,omitempty"`      // conversation_details after the step
	UserDetails  json.RawMessage    `json:"user_details,omitempty"` // user_details after the step
	Conversation string             `json:"conversation,omitempty"` // as the endpoint said; "" = as the bot file says
	Output       json.RawMessage    `json:"output,omitempty"`
	Problem      *fault.Fault       `json:"problem,omitempty"` // part of the answer was refused, the rest stands
	Attempts     []schemas.Attempt  `json:"attempts,omitempty"`
	// ReplyID is the id of step.replied when it is published; "" leaves that to the workflow.
	ReplyID string `json:"reply_id,omitempty"`
	// AsActivity says that no attempt was made, because the endpoint is slow: the first one is to be a normal activity.
	AsActivity bool `json:"as_activity,omitempty"`
}

// CodeResult is how a script ended. That it failed is a result like any other: the activity did its work.
type CodeResult struct {
	WebhookResult

	Fault *fault.Fault `json:"fault,omitempty"` // why the step failed; nil = it did not
	Log   string       `json:"log,omitempty"`   // what the script wrote, for the bot's builder
}

// Callback is the argument of UpdateCallback: what an endpoint posted for the step of an event.
type Callback struct {
	EventID string          `json:"event_id"`
	Body    json.RawMessage `json:"body"`
}

// AnswerInput is the input of ActivityAnswer.
type AnswerInput struct {
	Webhook WebhookInput    `json:"webhook"` // the step that was called, its attempts included
	Body    json.RawMessage `json:"body"`
}

// Queued is one step in a background queue.
type Queued struct {
	Sequence     uint64       `json:"sequence,omitempty"` // of the queue's stream; 0 = the queue is empty
	Conversation string       `json:"conversation"`
	Webhook      WebhookInput `json:"webhook"`
}

// Queue is the input of the Queue workflow.
type Queue struct {
	schemas.BotID

	Step string `json:"step"`
}

// PublishInput is the input of the publishing activity.
type PublishInput struct {
	schemas.BotID

	Reply schemas.Reply `json:"reply"`
}

// Published is the result of the publishing activity when the reply was there already: what the engine has read.
type Published struct {
	Stored *schemas.StepReplied `json:"stored,omitempty"` // of step.replied
}
