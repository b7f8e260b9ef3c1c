// Package recall finds what a run of a conversation has published, when NATS has lost it. A run keeps no replies: they
// would be most of its state. But its history has the answers from which they were made, and its code makes the same
// replies of them again. So the history is replayed with the workflows as they are, and what they hand to NATS is noted.
// Nothing is published or called, and the run does not notice.
package recall

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/tenantshare"
	"github.com/hookturn/hookturn/schemas"
	"github.com/hookturn/hookturn/workflows"
)

const (
	// atOnce bounds the runs that are replayed at a time, and ofTenant those of one tenant: each takes a core, and a history
	// may have megabytes.
	atOnce   = 2
	ofTenant = 1
	// chainMax bounds the runs that are read for one event, each continued by the next. A conversation knows its latest 512
	// events, and a run takes 128.
	chainMax = 8
)

// Recall finds what runs have published.
type Recall struct {
	temporal  client.Client
	converter converter.DataConverter
	log       *slog.Logger
	slots     chan struct{}
	shares    tenantshare.Shares
}

// errBusy is the error while another run of the tenant is replayed.
var errBusy = errors.New("another run of the tenant is replayed for its replies")

// New returns a new Recall. payloads converts the payloads of histories.
func New(temporal client.Client, payloads converter.DataConverter, log *slog.Logger) *Recall {
	return &Recall{temporal: temporal, converter: payloads, log: log, slots: make(chan struct{}, atOnce)}
}

// Published returns the replies that a run, or one that it continues, has published for an event, in their order. There are
// none while the event is in hand. lost reports that they cannot be found: the server does not keep the history any more, or
// it is that of another release. An error is not final, such as that of a tenant with another run that is replayed.
func (r *Recall) Published(ctx context.Context, of schemas.BotID, workflowID, runID, eventID string) (
	replies []schemas.Reply, lost bool, err error,
) {
	release, free := r.shares.Take(of.Tenant, ofTenant)
	if !free {
		return nil, false, errBusy
	}
	defer release()
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	for range chainMax {
		history, err := r.history(ctx, workflowID, runID)
		if err != nil {
			return nil, false, err
		}
		if history == nil {
			break
		}
		if !decided(history) {
			return replies, false, nil
		}
		run, err := replay(history, workflow.Execution{ID: workflowID, RunID: runID}, r.converter)
		if err != nil {
			r.log.WarnContext(ctx, "replaying a run for its replies failed", "workflow", workflowID, "run_id", runID,
				"event", eventID, "error", err, "hint", "starters must not be of an earlier release than workers")
			break
		}
		replies = append(run.of(eventID), replies...)
		if _, known := run.events[eventID]; known {
			return replies, false, nil
		}
		runID = history.GetEvents()[0].GetWorkflowExecutionStartedEventAttributes().GetContinuedExecutionRunId()
		if runID == "" {
			break
		}
	}
	return replies, len(replies) == 0, nil
}

// history returns a history, nil when the server does not keep it.
func (r *Recall) history(ctx context.Context, workflowID, runID string) (*historypb.History, error) {
	events := r.temporal.GetWorkflowHistory(ctx, workflowID, runID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	h := &historypb.History{}
	for events.HasNext() {
		e, err := events.Next()
		if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the history of run %s of %s: %w", runID, workflowID, err)
		}
		h.Events = append(h.Events, e)
	}
	return h, nil
}

// decided reports whether the workflow has finished a task. Until then there is nothing to replay; what comes after its
// latest one is left alone by a replay, but for a request to cancel the run.
func decided(h *historypb.History) bool {
	return slices.ContainsFunc(h.GetEvents(), func(e *historypb.HistoryEvent) bool {
		return e.GetWorkflowTaskCompletedEventAttributes() != nil
	})
}

// beforeCancel returns a history without a request to cancel the run that no task has handled yet: a replay would cancel the
// run, and fail because the history lacks what follows from that.
func beforeCancel(h *historypb.History) *historypb.History {
	for n, e := range slices.Backward(h.GetEvents()) {
		switch {
		case e.GetWorkflowTaskCompletedEventAttributes() != nil:
			return h
		case e.GetWorkflowExecutionCancelRequestedEventAttributes() != nil:
			return &historypb.History{Events: h.GetEvents()[:n]}
		}
	}
	return h
}

// replay runs the workflow of a history again, and returns what it has published.
func replay(h *historypb.History, of workflow.Execution, payloads converter.DataConverter) (*run, error) {
	seen := &run{events: map[string]bool{}}
	replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{DisableDeadlockDetection: true,
		DataConverter: payloads, Interceptors: []interceptor.WorkerInterceptor{&observer{run: seen}},
	})
	if err != nil {
		return nil, err
	}
	workflows.Register(replayer)
	options := worker.ReplayWorkflowHistoryOptions{OriginalExecution: of}
	quiet := sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))
	return seen, replayer.ReplayWorkflowHistoryWithOptions(quiet, beforeCancel(h), options)
}

// run is what was seen of a run in a replay.
type run struct {
	events  map[string]bool // the events that it took; whether it has ended with them
	replies []*published    // in the order in which they were made
}

// published is a reply that a run has handed to NATS.
type published struct {
	event string // in whose turn; "" outside of any
	key   schemas.ConversationKey
	reply schemas.Reply
}

// of returns the replies to an event, and those that were made in its turn; none while the event is in hand, because the run
// publishes them itself. A progress message is over when its step is.
func (r *run) of(eventID string) (replies []schemas.Reply) {
	if ended, known := r.events[eventID]; known && !ended {
		return nil
	}
	for _, p := range r.replies {
		mine := p.event == eventID || p.reply.ID == schemas.ReplyID(p.key, eventID, p.reply.Type)
		if mine && p.reply.ID != "" && p.reply.Type != schemas.TypeStepProgress {
			replies = append(replies, p.reply)
		}
	}
	return replies
}

// add notes a reply down. What is handed to NATS again, in another activity or cut down to the size of a message, takes the
// place of what was handed to it first.
func (r *run) add(event string, in step.PublishInput) *published {
	for _, p := range r.replies {
		if in.Reply.ID != "" && p.reply.ID == in.Reply.ID {
			p.reply = in.Reply
			return p
		}
	}
	p := &published{event: event, key: in.BotID.WithConversation(in.Reply.Subject), reply: in.Reply}
	r.replies = append(r.replies, p)
	return p
}
