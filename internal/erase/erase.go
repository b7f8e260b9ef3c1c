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
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"golang.org/x/sync/errgroup"

	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// Eraser deletes from one namespace of Temporal and one account of NATS. All fields but Wait are required.
type Eraser struct {
	Temporal  client.Client
	Namespace string
	Payloads  converter.PayloadCodec // decrypts histories, to find the files that they name; nil: they are in clear
	Store     *store.Eraser
	// Wait is how long to wait until Temporal has deleted the runs.
	Wait time.Duration
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
	Deleting      int    `json:"deleting"` // of the runs: Temporal has accepted to delete them, and still lists them
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
	pageSize  = 1000
	atATime   = 8 // runs
)

// Run erases. It returns what it has done also with an error: it can be repeated.
func (e *Eraser) Run(ctx context.Context, r Request) (Report, error) {
	report := Report{Request: r, DryRun: e.Store.Dry, Kept: kept(r)}
	keys, err := e.find(ctx, r)
	if err != nil {
		return report, err
	}
	report.Conversations = len(keys)
	if err := e.conversations(ctx, slices.SortedFunc(maps.Keys(keys), compareKeys), &report); err != nil {
		return report, err
	}
	if r.User == "" {
		return report, nil
	}
	letters, err := e.Store.Unaddressed(ctx, r.Tenant, r.User)
	if report.DeadLetters += letters; err != nil {
		return report, err
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

// endedRun is a run that has ended, and whose it is.
type endedRun struct {
	schemas.ConversationKey

	execution *commonpb.WorkflowExecution
}

// conversations erases conversations. Temporal deletes a run in the background, once it has acknowledged the tasks of the
// run's end, which it does every half minute and not beyond a deletion that waits itself. So all runs end before the first
// is deleted, and the wait is one for all conversations.
func (e *Eraser) conversations(ctx context.Context, keys []schemas.ConversationKey, report *Report) error {
	files := map[schemas.BotID]store.FileIDs{}
	deleted := map[string]schemas.ConversationKey{} // by run id
	for round := range rounds {
		before := len(deleted)
		var ended []endedRun
		for _, key := range keys {
			if files[key.BotID] == nil {
				files[key.BotID] = store.FileIDs{}
			}
			runs, err := e.conversation(ctx, key, files[key.BotID], deleted, report)
			if ended = append(ended, runs...); err != nil {
				err = fmt.Errorf("erase conversation %s of bot %s: %w", key.Conversation, key.Bot, err)
				return errors.Join(err, e.deleteRuns(ctx, ended, deleted, report))
			}
		}
		if err := e.deleteRuns(ctx, ended, deleted, report); err != nil {
			return err
		}
		if len(deleted) == before && round > 0 || e.Store.Dry {
			break
		}
	}
	for of, ids := range files {
		for id := range ids {
			there, err := e.Store.File(ctx, of, id)
			if err != nil {
				return err
			}
			if there {
				report.Files++
			}
		}
	}
	if e.Store.Dry {
		return nil
	}
	return e.gone(ctx, deleted, report)
}

// conversation erases the messages of one conversation that are there now, and ends its runs.
func (e *Eraser) conversation(ctx context.Context, key schemas.ConversationKey, files store.FileIDs,
	deleted map[string]schemas.ConversationKey, report *Report,
) ([]endedRun, error) {
	erased, err := e.Store.Conversation(ctx, key, files) // waiting events would start runs
	report.Add(erased)
	if err != nil {
		return nil, err
	}
	return e.endRuns(ctx, key, files, deleted)
}

// runsOf is the query for the runs of a conversation: its own, and those of its unordered steps.
func runsOf(key schemas.ConversationKey) string {
	return fmt.Sprintf("WorkflowId = %s OR WorkflowId STARTS_WITH %s", step.Quote(step.ConversationID(key)),
		step.Quote(step.IDPrefix(key)))
}

// endRuns ends the runs of a conversation that were not deleted before, and returns those that have ended.
func (e *Eraser) endRuns(ctx context.Context, key schemas.ConversationKey, files store.FileIDs,
	deleted map[string]schemas.ConversationKey,
) ([]endedRun, error) {
	var found []*workflowpb.WorkflowExecutionInfo
	err := e.list(ctx, runsOf(key), func(run *workflowpb.WorkflowExecutionInfo) error {
		if _, before := deleted[run.GetExecution().GetRunId()]; !before {
			found = append(found, run)
		}
		return nil
	})
	if err == nil {
		found, err = e.withCurrent(ctx, key, found, deleted)
	}
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var ended []endedRun
	working, ctx := errgroup.WithContext(ctx)
	working.SetLimit(atATime)
	for _, run := range found {
		working.Go(func() error {
			named := store.FileIDs{}
			if err := e.endRun(ctx, run, named); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			maps.Copy(files, named)
			ended = append(ended, endedRun{key, run.GetExecution()})
			return nil
		})
	}
	err = working.Wait()
	return ended, err
}

// deleteRuns deletes runs that have ended.
func (e *Eraser) deleteRuns(
	ctx context.Context, ended []endedRun, deleted map[string]schemas.ConversationKey, report *Report,
) error {
	if e.Store.Dry {
		report.Runs += len(ended)
		return nil
	}
	var mu sync.Mutex
	working, ctx := errgroup.WithContext(ctx)
	working.SetLimit(atATime)
	for _, run := range ended {
		working.Go(func() error {
			if err := e.deleteRun(ctx, run.execution); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			report.Runs++
			deleted[run.execution.GetRunId()] = run.ConversationKey
			return nil
		})
	}
	return working.Wait()
}

// withCurrent adds the current run of a conversation: lists show a run that has just started a moment later.
func (e *Eraser) withCurrent(ctx context.Context, key schemas.ConversationKey, found []*workflowpb.WorkflowExecutionInfo,
	deleted map[string]schemas.ConversationKey,
) ([]*workflowpb.WorkflowExecutionInfo, error) {
	current, err := e.Temporal.DescribeWorkflowExecution(ctx, step.ConversationID(key), "")
	if _, none := errors.AsType[*serviceerror.NotFound](err); none {
		return found, nil
	}
	if err != nil {
		return found, fmt.Errorf("look for the current run: %w", err)
	}
	run := current.GetWorkflowExecutionInfo()
	id := run.GetExecution().GetRunId()
	_, before := deleted[id]
	if before || slices.ContainsFunc(found, func(other *workflowpb.WorkflowExecutionInfo) bool {
		return other.GetExecution().GetRunId() == id
	}) {
		return found, nil
	}
	return append(found, run), nil
}

// endRun adds the ids of a run's files and ends the run.
func (e *Eraser) endRun(ctx context.Context, run *workflowpb.WorkflowExecutionInfo, files store.FileIDs) error {
	if err := e.filesOf(ctx, run.GetExecution(), files); err != nil || e.Store.Dry {
		return err
	}
	if run.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return e.end(ctx, run.GetExecution())
	}
	return nil
}

func (e *Eraser) deleteRun(ctx context.Context, execution *commonpb.WorkflowExecution) error {
	_, err := e.Temporal.WorkflowService().DeleteWorkflowExecution(ctx, &workflowservice.DeleteWorkflowExecutionRequest{
		Namespace: e.Namespace, WorkflowExecution: execution,
	})
	if _, gone := errors.AsType[*serviceerror.NotFound](err); err != nil && !gone {
		return fmt.Errorf("delete run %s: %w", execution.GetRunId(), err)
	}
	return nil
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
		return fmt.Errorf("run %s did not end within %s of its cancellation: run the command again when a worker runs, or "+
			"in three minutes if the run reads a callback", execution.GetRunId(), endWithin)
	}
	return nil
}

var errThere = errors.New("temporal still lists runs that are being deleted")

// gone waits until Temporal does not list deleted runs any more, and reports those that it still does: it has accepted to
// delete them, and does so once the tasks of their end are acknowledged, which is every half minute.
func (e *Eraser) gone(ctx context.Context, deleted map[string]schemas.ConversationKey, report *Report) error {
	wait := backoff.NewExponentialBackOff(backoff.WithInitialInterval(50*time.Millisecond),
		backoff.WithMaxInterval(time.Second), backoff.WithMaxElapsedTime(max(e.Wait, time.Millisecond)))
	err := backoff.Retry(func() error {
		there := map[string]schemas.ConversationKey{}
		for _, key := range slices.Compact(slices.SortedFunc(maps.Values(deleted), compareKeys)) {
			if err := e.list(ctx, runsOf(key), func(run *workflowpb.WorkflowExecutionInfo) error {
				if id := run.GetExecution().GetRunId(); deleted[id] == key {
					there[id] = key
				}
				return nil
			}); err != nil {
				return backoff.Permanent(err)
			}
		}
		deleted = there
		if report.Deleting = len(there); report.Deleting > 0 {
			return errThere
		}
		return nil
	}, backoff.WithContext(wait, ctx))
	if errors.Is(err, errThere) {
		return nil
	}
	return err
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
