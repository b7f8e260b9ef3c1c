// Package erase deletes what hookturn holds of a person or of a conversation: runs with their histories, messages, stored
// details, chats and files. It may run while traffic runs, and again: what is gone counts zero.
//
// The order keeps deleted data from coming back. Waiting events go first; then open runs are cancelled, so that they end and
// answer by themselves; then runs and messages are deleted, the answers to the cancelled steps included. A run that was
// terminated instead would be recovered by a starter, with what its history holds.
package erase

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// Eraser deletes from one namespace of Temporal and one account of NATS. All fields are required.
type Eraser struct {
	Temporal  client.Client
	Namespace string
	Payloads  converter.PayloadCodec // decrypts histories, to find the files that they name; nil: they are in clear
	Store     *store.Eraser
}

// Request names what to erase: a user, or a conversation.
type Request struct {
	Tenant       string `json:"tenant"`
	Bot          string `json:"bot,omitempty"` // of the conversation; "" = every bot of the tenant
	User         string `json:"user,omitempty"`
	Conversation string `json:"conversation,omitempty"`
}

// Report is what was deleted, or would be.
type Report struct {
	Request

	DryRun        bool   `json:"dry_run"`
	Conversations int    `json:"conversations"`
	Runs          int    `json:"runs"`
	Kept          []Kept `json:"kept"`

	store.Erased
}

// Kept is what is not deleted, and why.
type Kept struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

const (
	rounds    = 3                // of looking for runs that events in flight have started
	endWithin = 15 * time.Second // how long a cancelled run may take to answer
	// goneIn is how long Temporal may take to delete runs: it waits until the tasks of their end are acknowledged, which it
	// does every half minute.
	goneIn   = 2 * time.Minute
	pageSize = 1000
)

// Run erases. It returns what it has done also with an error: it can be repeated.
func (e *Eraser) Run(ctx context.Context, r Request) (Report, error) {
	report := Report{Request: r, DryRun: e.Store.Dry, Kept: kept(r)}
	keys, err := e.find(ctx, r)
	if err != nil {
		return report, err
	}
	report.Conversations = len(keys)
	for _, key := range slices.SortedFunc(maps.Keys(keys), compareKeys) {
		if err := e.conversation(ctx, key, &report); err != nil {
			return report, fmt.Errorf("erase conversation %s of bot %s: %w", key.Conversation, key.Bot, err)
		}
	}
	if r.User == "" {
		return report, nil
	}
	report.UserDetails, err = e.Store.User(ctx, r.Tenant, r.User)
	return report, err
}

func compareKeys(a, b schemas.ConversationKey) int {
	return strings.Compare(a.Bot+"."+a.Conversation, b.Bot+"."+b.Conversation)
}

// find returns the conversations of a request; their ids are tokens.
func (e *Eraser) find(ctx context.Context, r Request) (keys map[schemas.ConversationKey]struct{}, err error) {
	if r.Conversation != "" {
		keys, err = e.Store.Owners(ctx, r.Tenant, r.Conversation)
	} else {
		keys, err = e.Store.Conversations(ctx, r.Tenant, r.User)
	}
	if err != nil {
		return nil, err
	}
	err = e.list(ctx, runsFor(r), func(run *workflowpb.WorkflowExecutionInfo) error {
		if key, ok := keyOf(run.GetExecution().GetWorkflowId()); ok {
			keys[key] = struct{}{}
		}
		return nil
	})
	maps.DeleteFunc(keys, func(key schemas.ConversationKey, _ struct{}) bool {
		return key.Tenant != r.Tenant || r.Bot != "" && key.Bot != r.Bot
	})
	return keys, err
}

// runsFor is the query for the runs of a person or a conversation. Search attributes hold long and unprintable ids as
// tokens, and a bot may hide its conversations' ids as tokens too.
func runsFor(r Request) string {
	attribute, values := step.AttributeUser, step.Quote(step.Searchable(r.User))
	if r.Conversation != "" {
		attribute = step.AttributeConversation
		values = step.Quote(step.Searchable(r.Conversation)) + ", " + step.Quote(schemas.ConversationToken(r.Conversation))
	}
	return fmt.Sprintf("%s = %s AND %s IN (%s)", step.AttributeTenant, step.Quote(r.Tenant), attribute, values)
}

// keyOf reads a workflow id of a conversation, or of a step of its own.
func keyOf(workflowID string) (schemas.ConversationKey, bool) {
	parts := strings.Split(workflowID, "/")
	if len(parts) < 4 || parts[0] != "conversation" && parts[0] != "step" {
		return schemas.ConversationKey{}, false
	}
	return schemas.BotID{Tenant: parts[1], Bot: parts[2]}.WithConversation(parts[3]), true
}

// conversation erases one conversation.
func (e *Eraser) conversation(ctx context.Context, key schemas.ConversationKey, report *Report) error {
	files := store.FileIDs{}
	for round := range rounds {
		erased, err := e.Store.Conversation(ctx, key, files) // waiting events would start runs
		report.Add(erased)
		if err != nil {
			return err
		}
		runs, err := e.runs(ctx, key, files)
		report.Runs += runs
		if err != nil {
			return err
		}
		if runs == 0 && round > 0 || e.Store.Dry {
			break
		}
	}
	for id := range files {
		there, err := e.Store.File(ctx, key.BotID, id)
		if err != nil {
			return err
		}
		if there {
			report.Files++
		}
	}
	return nil
}

// runsOf is the query for the runs of a conversation: its own, and those of its unordered steps.
func runsOf(key schemas.ConversationKey) string {
	return fmt.Sprintf("WorkflowId = %s OR WorkflowId STARTS_WITH %s", step.Quote(step.ConversationID(key)),
		step.Quote(step.IDPrefix(key)))
}

// runs deletes the runs of a conversation and returns their number.
func (e *Eraser) runs(ctx context.Context, key schemas.ConversationKey, files store.FileIDs) (int, error) {
	query := runsOf(key)
	var found []*workflowpb.WorkflowExecutionInfo
	err := e.list(ctx, query, func(run *workflowpb.WorkflowExecutionInfo) error {
		found = append(found, run)
		return nil
	})
	if err != nil || len(found) == 0 {
		return 0, err
	}
	for _, run := range found {
		execution := run.GetExecution()
		if err := e.filesOf(ctx, execution, files); err != nil {
			return 0, err
		}
		if e.Store.Dry {
			continue
		}
		if run.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
			if err := e.end(ctx, execution); err != nil {
				return 0, err
			}
		}
	}
	if e.Store.Dry {
		return len(found), nil
	}
	for _, run := range found {
		_, err := e.Temporal.WorkflowService().DeleteWorkflowExecution(ctx, &workflowservice.DeleteWorkflowExecutionRequest{
			Namespace: e.Namespace, WorkflowExecution: run.GetExecution(),
		})
		if _, gone := errors.AsType[*serviceerror.NotFound](err); err != nil && !gone {
			return 0, fmt.Errorf("delete run %s: %w", run.GetExecution().GetRunId(), err)
		}
	}
	return len(found), e.gone(ctx, query, found)
}

// end cancels a run and waits until it has answered its events.
func (e *Eraser) end(ctx context.Context, execution *commonpb.WorkflowExecution) error {
	err := e.Temporal.CancelWorkflow(ctx, execution.GetWorkflowId(), execution.GetRunId())
	if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cancel run %s: %w", execution.GetRunId(), err)
	}
	waiting, cancel := context.WithTimeout(ctx, endWithin)
	defer cancel()
	_ = e.Temporal.GetWorkflow(waiting, execution.GetWorkflowId(), execution.GetRunId()).Get(waiting, nil) // however it ends
	if waiting.Err() != nil {
		return fmt.Errorf("run %s did not end within %s of its cancellation: run the command again when a worker runs",
			execution.GetRunId(), endWithin)
	}
	return nil
}

var errThere = errors.New("temporal still lists runs that are being deleted: run the command again")

// gone waits until Temporal does not list the runs any more: it deletes them in the background.
func (e *Eraser) gone(ctx context.Context, query string, runs []*workflowpb.WorkflowExecutionInfo) error {
	deleted := map[string]bool{}
	for _, run := range runs {
		deleted[run.GetExecution().GetRunId()] = true
	}
	wait := backoff.NewExponentialBackOff(backoff.WithInitialInterval(50*time.Millisecond),
		backoff.WithMaxInterval(time.Second), backoff.WithMaxElapsedTime(goneIn))
	return backoff.Retry(func() error {
		return e.list(ctx, query, func(run *workflowpb.WorkflowExecutionInfo) error {
			if deleted[run.GetExecution().GetRunId()] {
				return errThere
			}
			return nil
		})
	}, backoff.WithContext(wait, ctx))
}

// list calls a function for each run of a query.
func (e *Eraser) list(ctx context.Context, query string, found func(*workflowpb.WorkflowExecutionInfo) error) error {
	request := &workflowservice.ListWorkflowExecutionsRequest{Namespace: e.Namespace, PageSize: pageSize, Query: query}
	for {
		page, err := e.Temporal.ListWorkflow(ctx, request)
		if err != nil {
			return fmt.Errorf("list runs: %w", err)
		}
		for _, run := range page.GetExecutions() {
			if err := found(run); err != nil {
				return err
			}
		}
		if request.NextPageToken = page.GetNextPageToken(); len(request.GetNextPageToken()) == 0 {
			return nil
		}
	}
}
