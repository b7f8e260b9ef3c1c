package haptik

import (
	"cmp"
	"encoding/json"
	"net/http"

	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/strictjson"
	"github.com/hookturn/hookturn/schemas"
)

const (
	// eventName is the only value of event that the vendor knows for steps.
	eventName = "API_INTEGRATION"
	// languageDefault is the language of a user whose engine named none.
	languageDefault = "en"
)

// body is the request in the order of the vendor's page; every member is always there.
type body struct {
	Step                string                      `json:"step"`
	Event               string                      `json:"event"`
	User                user                        `json:"user"`
	ConversationNo      int64                       `json:"conversation_no"`
	ConversationDetails json.RawMessage             `json:"conversation_details"`
	UserDetails         json.RawMessage             `json:"user_details"`
	Entities            map[string][]schemas.Entity `json:"entities"`
	EnvVariables        map[string]string           `json:"env_variables"`
}

type user struct {
	UserID         string `json:"user_id"`
	UserName       string `json:"user_name"`
	FullName       string `json:"full_name"`
	DevicePlatform int    `json:"device_platform"`
	LanguageCode   string `json:"language_code"`
	AuthID         string `json:"auth_id"`
	AuthCode       string `json:"auth_code"`
}

// Encode makes the request of a step. The error is a *fault.Fault.
func (Dialect) Encode(c dialect.Context) (dialect.Request, error) {
	b := body{
		Step:                c.Plan.Step,
		Event:               eventName,
		User:                userOf(c.User),
		ConversationNo:      c.ConversationNo,
		ConversationDetails: conversationDetails.Current(c.ConversationDetails),
		UserDetails:         userDetails.Current(c.UserDetails),
		Entities:            collected(c.Entities),
		EnvVariables:        c.Plan.Env,
	}
	if b.EnvVariables == nil {
		b.EnvVariables = map[string]string{}
	}
	// The encoder's own error may quote a value, so it is not kept.
	text, err := strictjson.Encode(b)
	if err != nil {
		return dialect.Request{}, fault.New(fault.BadEvent,
			"the request of step %q cannot be written: an entity or a store is not well-formed JSON", c.Plan.Step)
	}
	return dialect.Request{Body: text, Header: http.Header{"Content-Type": {"application/json"}}}, nil
}

func userOf(u schemas.User) user {
	return user{
		UserID:         u.ID,
		UserName:       u.Name,
		FullName:       u.FullName,
		DevicePlatform: u.DevicePlatform,
		LanguageCode:   cmp.Or(u.Language, languageDefault),
		AuthID:         u.AuthID,
		AuthCode:       u.AuthCode,
	}
}

// collected leaves out entities without a list of detections: the vendor's endpoints expect an array or no member at
// all.
func collected(entities map[string][]schemas.Entity) map[string][]schemas.Entity {
	out := make(map[string][]schemas.Entity, len(entities))
	for name, detections := range entities {
		if detections != nil {
			out[name] = detections
		}
	}
	return out
}
