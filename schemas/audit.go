package schemas

import (
	"strings"
	"time"

	"github.com/google/uuid"
)

// The stream of audit events, and the root of its subjects: hookturn.audit.<tenant>.<bot>.<action>, with AuditAll for what
// does not belong to one tenant or bot.
const (
	StreamAudit  = "HOOKTURN_AUDIT"
	SubjectAudit = "hookturn.audit"
	AuditAll     = "_"
)

// AuditAction is what an operator does. It is a subject token, and its event has the type TypeAudit and a dot before it.
type AuditAction string

// TypeAudit is the first part of the CloudEvents types of audit events.
const TypeAudit = "hookturn.audit"

// The actions of operators: what they change, and what they decrypt.
const (
	AuditBotPause            AuditAction = "bot_pause"
	AuditBotResume           AuditAction = "bot_resume"
	AuditEndpointPause       AuditAction = "endpoint_pause"
	AuditEndpointResume      AuditAction = "endpoint_resume"
	AuditDeadLettersReplay   AuditAction = "deadletters_replay"
	AuditStepsRepeat         AuditAction = "steps_repeat"
	AuditConversationsCancel AuditAction = "conversations_cancel"
	AuditChannelCreate       AuditAction = "channel_create"
	AuditChannelChange       AuditAction = "channel_change"
	AuditChannelToken        AuditAction = "channel_token"
	AuditChannelDelete       AuditAction = "channel_delete"
	AuditErase               AuditAction = "erase"
	AuditDeploymentPromote   AuditAction = "deployment_promote"
	AuditSetup               AuditAction = "setup"
	AuditPayloadsDecrypt     AuditAction = "payloads_decrypt"
)

// AuditActions returns every action.
func AuditActions() []AuditAction {
	return []AuditAction{
		AuditBotPause, AuditBotResume, AuditEndpointPause, AuditEndpointResume, AuditDeadLettersReplay, AuditStepsRepeat,
		AuditConversationsCancel, AuditChannelCreate, AuditChannelChange, AuditChannelToken, AuditChannelDelete, AuditErase,
		AuditDeploymentPromote, AuditSetup, AuditPayloadsDecrypt,
	}
}

// AuditResult is how far an action has come. Each action has an event with AuditRequested before anything is changed, and
// one with another result at the end. An action without the second one was interrupted.
type AuditResult string

// The results.
const (
	AuditRequested AuditResult = "requested"
	AuditDone      AuditResult = "done"
	AuditPartly    AuditResult = "partly"
	AuditFailed    AuditResult = "failed"
)

// AuditObjectsMax bounds the ids that an audit event lists.
const AuditObjectsMax = 100

// AuditEvent is one CloudEvents 1.0 event about an action of an operator. It has no content of messages, no secret, and no
// id of a user or a conversation: it stays when a person is erased.
type AuditEvent struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`
	Source          string    `json:"source"` // /hookturn, with /<tenant> and /<bot> where it belongs to one
	Type            string    `json:"type"`   // hookturn.audit.<action>
	Time            time.Time `json:"time"`
	Subject         string    `json:"subject,omitempty"` // what is changed: a bot, an endpoint's URL, a channel's id
	DataContentType string    `json:"datacontenttype"`
	Data            Audited   `json:"data"`
}

// Audited is the data of an audit event.
type Audited struct {
	BotID

	Operation string      `json:"operation"` // the same in all events of one action
	Action    AuditAction `json:"action"`
	Result    AuditResult `json:"result"`
	Actor     AuditActor  `json:"actor"`
	// Filter are the options that chose what is changed. Values of users and conversations are left out.
	Filter  map[string]string `json:"filter,omitempty"`
	Objects []string          `json:"objects,omitempty"` // sequences, ids, streams or namespaces, at most AuditObjectsMax
	Counts  map[string]int    `json:"counts,omitempty"`
	Until   *time.Time        `json:"until,omitempty"`  // end of a pause
	Reason  string            `json:"reason,omitempty"` // as the operator gave it
	Error   string            `json:"error,omitempty"`  // kind of the error of an action that failed
}

// AuditActor is who acts.
type AuditActor struct {
	Name string `json:"name"`           // of the operator's token; of a tool, --actor or the user of the operating system
	Role string `json:"role,omitempty"` // viewer, operator or owner, where one is known: of the token, or of the NATS user
	Via  string `json:"via"`            // cli, admin_api or console
	// NATSUser is the user that the NATS server has authenticated.
	NATSUser string `json:"nats_user,omitempty"`
	OSUser   string `json:"os_user,omitempty"`
	Host     string `json:"host,omitempty"`
	From     string `json:"from,omitempty"` // address of the client of the admin API or the console
}

// NewAuditEvent returns the event of an action on what subject names.
func NewAuditEvent(at time.Time, subject string, data Audited) AuditEvent {
	source := "/hookturn"
	switch {
	case data.Bot != "" && data.Tenant == "": // a bot's name in every tenant
		source += "/" + AuditAll + "/" + data.Bot
	case data.Bot != "":
		source = data.Source()
	case data.Tenant != "":
		source += "/" + data.Tenant
	}
	return AuditEvent{
		SpecVersion: "1.0", ID: uuid.NewString(), Source: source, Type: TypeAudit + "." + string(data.Action), Time: at.UTC(),
		Subject: subject, DataContentType: mediaJSON, Data: data,
	}
}

// AuditSubject is where the audit events of an action are published.
func AuditSubject(of BotID, action AuditAction) string {
	return strings.Join([]string{SubjectAudit, orAll(of.Tenant), orAll(of.Bot), string(action)}, ".")
}

func orAll(token string) string {
	if token == "" {
		return AuditAll
	}
	return token
}
