package schemas

import (
	"time"

	"github.com/google/uuid"
)

// SubjectAdvisories is the root of the subjects on which hookturn reports about itself:
// hookturn.advisories.<tenant>.<bot>. Advisories are plain NATS messages: subscribers receive them, no stream stores them.
const SubjectAdvisories = "hookturn.advisories"

// CloudEvents types of advisories: the data of the first is an EndpointChanged, that of the second a ChannelChanged.
const (
	TypeEndpointChanged = "hookturn.endpoint.changed"
	TypeChannelChanged  = "hookturn.channel.changed"
)

// Advisory is one CloudEvents 1.0 event by which hookturn reports what it does differently from now on.
type Advisory[Data any] struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`
	Source          string    `json:"source"` // /hookturn/<tenant>/<bot>
	Type            string    `json:"type"`
	Time            time.Time `json:"time"`
	Subject         string    `json:"subject"` // what it is about: an endpoint's URL without its query, a channel's id
	DataContentType string    `json:"datacontenttype"`
	Data            Data      `json:"data"`
}

// NewAdvisory returns the advisory of an endpoint of a bot.
func NewAdvisory(owner BotID, at time.Time, changed EndpointChanged) Advisory[EndpointChanged] {
	return advisory(owner, TypeEndpointChanged, changed.URL, at, changed)
}

// NewChannelAdvisory returns the advisory of a channel of a bot.
func NewChannelAdvisory(owner BotID, at time.Time, changed ChannelChanged) Advisory[ChannelChanged] {
	return advisory(owner, TypeChannelChanged, changed.ID, at, changed)
}

func advisory[Data any](owner BotID, kind, subject string, at time.Time, data Data) Advisory[Data] {
	return Advisory[Data]{
		SpecVersion: "1.0", ID: uuid.NewString(), Source: owner.Source(), Type: kind,
		Time: at.UTC(), Subject: subject, DataContentType: "application/json", Data: data,
	}
}

// EndpointChanged is the data of an advisory: the state of an endpoint in the workers changed.
type EndpointChanged struct {
	URL    string     `json:"url"`             // without query
	State  string     `json:"state"`           // closed, recovering, paused, open or disabled
	Until  *time.Time `json:"until,omitempty"` // paused and open: time of the next request
	Reason string     `json:"reason,omitempty"`
}

// ChannelChanged reports that the admin API has created, changed or deleted an integration channel.
type ChannelChanged struct {
	ID     string `json:"id"`
	Code   string `json:"code"`
	Action string `json:"action"` // created, changed or deleted
	By     string `json:"by"`     // name of the operator
	From   string `json:"from"`   // address of who asked for it
}

// AdvisorySubject is where advisories about a bot are published.
func AdvisorySubject(owner BotID) string {
	return SubjectAdvisories + "." + owner.Tenant + "." + owner.Bot
}
