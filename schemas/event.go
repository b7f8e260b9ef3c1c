package schemas

import (
	"encoding/json"
	"time"
)

// Types of the events that a bot engine publishes (contract, section 2.3).
const (
	TypeStepRequested        = "hookturn.step.requested"
	TypeEntitiesCollected    = "hookturn.entities.collected"
	TypeMessageReceived      = "hookturn.message.received"
	TypeConversationEvent    = "hookturn.conversation.event"
	TypeConversationHandover = "hookturn.conversation.handover"
	TypeConversationEnded    = "hookturn.conversation.ended"
)

// Event is one CloudEvents 1.0 event in structured JSON mode, as DecodeEvent reads it.
type Event struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`
	Source          string    `json:"source"`
	Type            string    `json:"type"`
	Time            time.Time `json:"time"`
	Subject         string    `json:"subject"` // the conversation id, as the engine spells it
	DataContentType string    `json:"datacontenttype,omitempty"`
	TraceParent     string    `json:"traceparent,omitempty"`
	TraceState      string    `json:"tracestate,omitempty"`
	// ExpiryTime is the latest useful moment of the event (CloudEvents extension "expirytime"); nil means always
	// useful.
	ExpiryTime *time.Time `json:"expirytime,omitempty"`
	Data       EventData  `json:"data"`
	// Extensions are the extension attributes that hookturn does not know, by name; the values are JSON strings, numbers or
	// booleans. The plain dialect sends them on.
	Extensions map[string]json.RawMessage `json:"-"`
}

// EventData holds the members of data of every event type; which of them a type requires is checked by DecodeEvent.
type EventData struct {
	Step           string                     `json:"step,omitempty"`
	User           *User                      `json:"user,omitempty"`
	ConversationNo int64                      `json:"conversation_no,omitempty"`
	Entities       map[string][]Entity        `json:"entities,omitzero"` // {} is kept, nil is not
	Variables      map[string]string          `json:"variables,omitempty"`
	Params         map[string]json.RawMessage `json:"params,omitempty"`
	Message        json.RawMessage            `json:"message,omitempty"`
	Event          json.RawMessage            `json:"event,omitempty"`
	Context        json.RawMessage            `json:"context,omitempty"`
	Adapter        string                     `json:"adapter,omitempty"`
	Reason         string                     `json:"reason,omitempty"`
}

// User is the person in the conversation. Every member is optional.
type User struct {
	ID             string `json:"id,omitempty"`
	Name           string `json:"name,omitempty"`
	FullName       string `json:"full_name,omitempty"`
	DevicePlatform int    `json:"device_platform,omitempty"`
	Language       string `json:"language,omitempty"` // BCP 47; "en" when absent
	AuthID         string `json:"auth_id,omitempty"`
	AuthCode       string `json:"auth_code,omitempty"`
}

// Entity is one detection of an entity in what the user said. Value is any JSON.
type Entity struct {
	Detection    string          `json:"detection"`
	OriginalText string          `json:"original_text"`
	EntityValue  json.RawMessage `json:"entity_value"`
}
