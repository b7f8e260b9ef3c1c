package schemas

import (
	"time"

	"github.com/google/uuid"
)

// SubjectAdvisories is the root of what hookturn says about itself: hookturn.advisories.<tenant>.<bot>. Advisories are plain
// NATS messages: whoever listens hears them, nobody stores them.
const SubjectAdvisories = "hookturn.advisories"

// TypeEndpointChanged is the CloudEvents type of an advisory whose data is an EndpointChanged.
const TypeEndpointChanged = "hookturn.endpoint.changed"

// Advisory is one CloudEvents 1.0 event by which hookturn says what it does differently from now on.
type Advisory struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"` // /hookturn/<tenant>/<bot>
	Type            string          `json:"type"`
	Time            time.Time       `json:"time"`
	Subject         string          `json:"subject"` // the endpoint's URL without its query
	DataContentType string          `json:"datacontenttype"`
	Data            EndpointChanged `json:"data"`
}

// NewAdvisory makes the advisory of an endpoint of a bot.
func NewAdvisory(tenant, bot string, at time.Time, changed EndpointChanged) Advisory {
	return Advisory{
		SpecVersion: "1.0", ID: uuid.NewString(), Source: "/hookturn/" + tenant + "/" + bot, Type: TypeEndpointChanged,
		Time: at.UTC(), Subject: changed.URL, DataContentType: "application/json", Data: changed,
	}
}

// EndpointChanged says that a worker treats an endpoint differently from now on.
type EndpointChanged struct {
	URL    string     `json:"url"`             // without query
	State  string     `json:"state"`           // closed, recovering, cooling, open or gone
	Until  *time.Time `json:"until,omitempty"` // cooling and open: when it may be asked again
	Reason string     `json:"reason,omitempty"`
}

// AdvisorySubject is where advisories about a bot are published.
func AdvisorySubject(tenant, bot string) string { return SubjectAdvisories + "." + tenant + "." + bot }
