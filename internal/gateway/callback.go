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
func (o Options) takeCallback(w http.ResponseWriter, r *http.Request) error {
	to, err := o.Callbacks.Verify(r.PathValue("token"), time.Now())
	switch {
	case errors.Is(err, signedurl.ErrExpired):
		return httpapi.Reject(http.StatusGone, fault.Expired,
			"the step's timeout has passed and the step has ended: do not send the callback again")
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

// unsettled returns what is answered about an address that can be valid: its key can be that of another process.
func unsettled(what string) error {
	return httpapi.RejectFor(5*time.Second, fault.Internal, "the "+what+" cannot be checked now: try again")
}

// rejectCallback returns what an endpoint reads when its step did not take the answer.
func rejectCallback(to signedurl.Payload, err error) error {
	failure, refused := errors.AsType[*temporal.ApplicationError](err)
	_, noRun := errors.AsType[*serviceerror.NotFound](err)
	switch {
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
