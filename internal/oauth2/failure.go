package oauth2

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/oauth2"

	"github.com/hookturn/hookturn/internal/fault"
)

var errToken = errors.New("the token is not a valid header value")

// codes are the error codes of RFC 6749, section 5.2: the only part of an answer that is shown.
var codes = []string{
	"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
}

// failure returns the fault of a failed fetch; its message names the token endpoint.
func failure(g Grant, err error) *fault.Fault {
	host := g.host()
	if f, ok := errors.AsType[*fault.Fault](err); ok {
		wrapped := fault.Wrap(f.Kind, err, "%s: %s", host, f.Message)
		wrapped.Status = f.Status
		return wrapped
	}
	answer, ok := errors.AsType[*oauth2.RetrieveError](err)
	switch {
	case !ok || answer.Response == nil || answer.Response.StatusCode/100 == 2 && answer.ErrorCode == "":
		return fault.New(fault.BadResponse, "%s did not return a valid token", host)
	case slices.Contains(codes, answer.ErrorCode):
		return fault.New(fault.Config, "%s rejected the client: %s: check oauth2 in the bot file", host, answer.ErrorCode)
	}
	status := answer.Response.StatusCode
	f := fault.New(fault.Status, "%s answered %d", host, status)
	if status/100 == 4 && !fault.RetryableStatus(status) {
		f = fault.New(fault.Config, "%s rejected the client with %d: check oauth2 in the bot file", host, status)
	}
	f.Status = 0 // the step's own endpoint was not asked
	if fault.RetryableStatus(status) {
		f.Kind = fault.Connect
		f.Message = fmt.Sprintf("%s answered %d: no token is available, will retry", host, status)
	}
	return f
}
