package gateway

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/internal/signedurl"
	"github.com/hookturn/hookturn/internal/step"
)

const (
	// callbackMax bounds what an endpoint may post, in bytes: as much as it could have answered at once.
	callbackMax = 256 << 10
	// callbackTimeout bounds the time until the step's workflow has read it.
	callbackTimeout = 20 * time.Second
)

// Callbacks verifies callback addresses. *signedurl.Signer is one.
type Callbacks interface {
	// Verify returns the payload of a token with signedurl.ErrExpired, too.
	Verify(token string, now time.Time) (signedurl.Payload, error)
}

// Temporal is the part of a Temporal client that the gateway needs.
type Temporal interface {
	UpdateWorkflow(ctx context.Context, o client.UpdateWorkflowOptions) (client.WorkflowUpdateHandle, error)
	ExecuteWorkflow(ctx context.Context, o client.StartWorkflowOptions, workflow any, args ...any) (client.WorkflowRun, error)
	CancelWorkflow(ctx context.Context, workflowID, runID string) error
}

// takeCallback ends a step that was answered 202: 202 when the step has it, and a problem otherwise. The same body posted
// again while the step is open is one call back, so an endpoint may repeat a request whose answer it did not get.
//
// The step's run decides whether its deadline has passed: the deadline is a time of the Temporal server's clock, and this
// process's clock may be ahead of it. Only what is later by more than clocks differ is rejected here.
func (o Options) takeCallback(w http.ResponseWriter, r *http.Request) error {
	to, err := o.Callbacks.Verify(r.PathValue("token"), time.Now())
	if errors.Is(err, signedurl.ErrExpired) && time.Since(to.Expires) < signedurl.ClockMargin {
		err = nil
	}
	switch {
	case errors.Is(err, signedurl.ErrExpired):
		return tooLate()
	case errors.Is(err, signedurl.ErrUnsettled):
		return unsettled("callback address")
	case err != nil:
		return httpapi.Reject(http.StatusNotFound, "", "no such callback address")
	}
	if _, rest, found := strings.Cut(to.Owner, "/"); found { // a workflow id: its kind, the tenant and so on
		tenant, _, _ := strings.Cut(rest, "/")
		if err := o.enter(r, tenant); err != nil {
			return err
		}
	}
	body, err := httpapi.ReadOptionalJSON(w, r, callbackMax, fault.BadResponse)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), callbackTimeout)
	defer cancel()
	handle, err := o.Temporal.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID:   to.Owner,
		UpdateID:     step.CallbackID(to.Item, body),
		UpdateName:   step.UpdateCallback,
		Args:         []any{step.Callback{EventID: to.Item, Body: body}},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err == nil {
		err = handle.Get(ctx, nil)
	}
	if err != nil {
		return rejectCallback(to, err)
	}
	return httpapi.Answer(w, httpapi.MediaJSON, http.StatusAccepted, map[string]bool{"accepted": true})
}

// tooLate returns what is answered when the step has ended by its timeout.
func tooLate() error {
	return httpapi.Reject(http.StatusGone, fault.Expired,
		"the step's timeout has passed and the step has ended: do not send the callback again")
}

// unsettled returns what is answered about an address that can be valid: its key can be that of another process.
func unsettled(what string) error {
	return httpapi.RejectFor(5*time.Second, fault.Internal, "the "+what+" cannot be checked now: try again")
}

// rejectCallback returns what an endpoint reads when its step did not take the answer.
func rejectCallback(to signedurl.Payload, err error) error {
	failure, refused := errors.AsType[*temporal.ApplicationError](err)
	_, noRun := errors.AsType[*serviceerror.NotFound](err)
	closed := noRun || refused && (failure.Type() == step.RejectedCallback || failure.Type() == step.RejectedEarly)
	switch {
	case closed && time.Now().After(to.Expires): // a later run of the conversation takes the step for one to come
		return tooLate()
	case refused && failure.Type() == step.RejectedAnswer:
		return httpapi.Reject(http.StatusUnprocessableEntity, fault.BadResponse, failure.Message())
	case refused && failure.Type() == step.RejectedCallback:
		return httpapi.Reject(http.StatusGone, fault.Gone, failure.Message())
	case refused && failure.Type() == step.RejectedEarly:
		return httpapi.RejectFor(time.Second, fault.Internal, failure.Message())
	case noRun:
		return httpapi.Reject(http.StatusGone, fault.Gone, "the step has ended")
	}
	return httpapi.RejectFor(time.Second, fault.Internal, "the step cannot be reached now: try again").
		Because(err, "delivering callback failed, the endpoint will retry", "workflow", to.Owner, "event", to.Item)
}
