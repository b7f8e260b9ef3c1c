// Package haptik speaks the JSON of Haptik's static step integration (contract, section 4.1).
//
// Encode writes the body of the vendor's page, member by member in its order; code steps get the same body as a string.
// Decode reads the endpoint's answer, DecodeCode the body that a code step returned: messages, status and the updates
// of the two stores mean the same in both. A member that is null counts as absent.
package haptik

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialect"
)

// The stores of the dialect. conversation_details belong to a conversation and end with it; user_details belong to the
// user.
var (
	conversationDetails = dialect.Store{
		Name:    "conversation_details",
		Initial: json.RawMessage(`{}`),
		Limit:   2500,
	}
	userDetails = dialect.Store{
		Name:    "user_details",
		Initial: json.RawMessage(`{"language_code":"en","name":"Guest User"}`),
		Limit:   200,
	}
)

// Dialect is Haptik's static step.
type Dialect struct{}

var _ dialect.Dialect = Dialect{}

// New returns the dialect.
func New() Dialect { return Dialect{} }

// Spec is what bot files know of the dialect.
func (Dialect) Spec() bot.Spec {
	return bot.Spec{
		Name: bot.DialectHaptik, Timeout: 30 * time.Second, AttemptTimeout: 15 * time.Second, MaxAttempts: 3,
		OnFailure: bot.OnFailureBotBreak, Signature: []string{bot.SignatureHubSHA1},
	}
}

// GoodStatus takes 200 and nothing else: the vendor breaks the bot on every other status.
func (Dialect) GoodStatus(status int) bool { return status == http.StatusOK }

// MergeUserDetails applies an update to the user's store; a store that was never set holds the vendor's initial value.
func (Dialect) MergeUserDetails(old, update json.RawMessage) (json.RawMessage, error) {
	return userDetails.Merge(old, update)
}
