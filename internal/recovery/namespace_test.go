package recovery_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/mocks"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/intake"
	"github.com/hookturn/hookturn/internal/intake/intaketest"
	"github.com/hookturn/hookturn/internal/recovery"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// setup returns a recovery, and its Temporal.
func setup(t *testing.T) (*recovery.Recovery, *mocks.Client) {
	t.Helper()
	in, c := intaketest.Setup(t)
	return recoveryOf(in), c
}

// recoveryOf returns the recovery that an intake's dispatcher asks for.
func recoveryOf(in *intake.Intake) *recovery.Recovery {
	return in.Dispatcher.Recovery.(*recovery.Recovery)
}

// namespace is what Temporal knows of runs that ended early.
type namespace struct {
	t         *testing.T
	runs      []*workflowpb.WorkflowExecutionInfo
	histories map[string]func() *run // by run id
	open      map[string]string      // ids of open runs, by workflow id
	page      int                    // runs of a page; 0 = all
	lists     func(from, to time.Time) error
	hidden    bool  // runs are not listed yet
	away      error // why latest runs cannot be looked at
	looked    func(workflowID string)
}

func newNamespace(t *testing.T, c *mocks.Client) *namespace {
	t.Helper()
	polled(c, 0)
	n := &namespace{t: t, histories: map[string]func() *run{}, open: map[string]string{}}
	c.On("ListWorkflow", mock.Anything, mock.Anything).Return(n.list).Maybe()
	c.On("GetWorkflowHistory", mock.Anything, mock.Anything, mock.Anything, false, mock.Anything).Return(
		func(_ context.Context, _, runID string, _ bool, _ enumspb.HistoryEventFilterType) client.HistoryEventIterator {
			return n.histories[runID]()
		}).Maybe()
	c.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, mock.Anything).Return(n.describe).Maybe()
	c.On("WorkflowService").Return(intaketest.Updates{}).Maybe()
	return n
}

// polled lets workers poll the task queue all the time, by a clock of Temporal that differs from the starter's.
func polled(c *mocks.Client, differs time.Duration) {
	c.ExpectedCalls = slices.DeleteFunc(c.ExpectedCalls, func(call *mock.Call) bool { return call.Method == "DescribeTaskQueue" })
	c.On("DescribeTaskQueue", mock.Anything, mock.Anything, mock.Anything).Return(
		func(context.Context, string, enumspb.TaskQueueType) (*workflowservice.DescribeTaskQueueResponse, error) {
			return &workflowservice.DescribeTaskQueueResponse{Pollers: []*taskqueuepb.PollerInfo{
				{LastAccessTime: timestamppb.New(time.Now().Add(differs - time.Hour))},
				{LastAccessTime: timestamppb.New(time.Now().Add(differs))},
			}}, nil
		}).Maybe()
}

// list answers a query as Temporal does: the newest runs first.
func (n *namespace) list(_ context.Context, r *workflowservice.ListWorkflowExecutionsRequest,
) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	if strings.HasPrefix(r.GetQuery(), "WorkflowId") {
		return &workflowservice.ListWorkflowExecutionsResponse{}, nil
	}
	require.Contains(n.t, r.GetQuery(), "TaskQueue = 'hookturn' AND HookturnConversation IS NOT NULL")
	from, to := between(n.t, r.GetQuery())
	if n.lists != nil {
		if err := n.lists(from, to); err != nil {
			return nil, err
		}
	}
	page := &workflowservice.ListWorkflowExecutionsResponse{}
	for _, info := range n.runs {
		if at := info.GetCloseTime().AsTime(); !n.hidden && !at.Before(from) && at.Before(to) {
			page.Executions = append(page.Executions, info)
		}
	}
	slices.SortFunc(page.GetExecutions(), func(a, b *workflowpb.WorkflowExecutionInfo) int {
		return b.GetCloseTime().AsTime().Compare(a.GetCloseTime().AsTime())
	})
	if n.page > 0 && len(page.GetExecutions()) > n.page {
		page.Executions, page.NextPageToken = page.GetExecutions()[:n.page], []byte("more")
	}
	return page, nil
}

// between returns the span of time of a query.
func between(t *testing.T, query string) (from, to time.Time) {
	t.Helper()
	_, span, _ := strings.Cut(query, "CloseTime >= '")
	first, last, _ := strings.Cut(span, "' AND CloseTime < '")
	from, err := time.Parse(time.RFC3339Nano, first)
	require.NoError(t, err)
	to, err = time.Parse(time.RFC3339Nano, strings.TrimSuffix(last, "'"))
	require.NoError(t, err)
	return from, to
}

func (n *namespace) describe(_ context.Context, id, runID string,
) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	if n.looked != nil {
		n.looked(id)
	}
	if n.away != nil && runID == "" {
		return nil, n.away
	}
	if open, ok := n.open[id]; ok && (runID == "" || runID == open) {
		return &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{
			Status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, Execution: &commonpb.WorkflowExecution{WorkflowId: id, RunId: open},
		}}, nil
	}
	var latest *workflowpb.WorkflowExecutionInfo
	for _, info := range n.runs {
		if runID != "" && info.GetExecution().GetRunId() != runID {
			continue
		}
		if info.GetExecution().GetWorkflowId() == id && (latest == nil || latest.GetCloseTime().AsTime().Before(info.GetCloseTime().AsTime())) {
			latest = info
		}
	}
	if latest == nil {
		return nil, serviceerror.NewNotFound("no such run")
	}
	return &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: latest}, nil
}

// terminated adds a run of a conversation that was terminated a while ago and had accepted events.
func (n *namespace) terminated(of schemas.ConversationKey, runID string, ago time.Duration, events ...string) {
	n.runs = append(n.runs, terminated(step.ConversationID(of), runID, ago))
	n.histories[runID] = func() *run {
		r := (&run{t: n.t}).started("Conversation", step.State{ConversationKey: of})
		for _, id := range events {
			r.accepted(id, schemas.TypeStepRequested)
		}
		return r
	}
}

// garbled adds a run whose history cannot be decoded.
func (n *namespace) garbled(of schemas.ConversationKey, runID string, ago time.Duration) {
	n.terminated(of, runID, ago)
	n.histories[runID] = func() *run {
		r := (&run{t: n.t}).started("Conversation", step.State{ConversationKey: of}).accepted("g1", schemas.TypeStepRequested)
		for _, e := range r.events {
			for _, p := range append(e.GetWorkflowExecutionStartedEventAttributes().GetInput().GetPayloads(),
				e.GetWorkflowExecutionUpdateAcceptedEventAttributes().GetAcceptedRequest().GetInput().GetArgs().GetPayloads()...) {
				p.Metadata["encoding"] = []byte("binary/encrypted")
			}
		}
		return r
	}
}

func conversation(tenant, id string) schemas.ConversationKey {
	return schemas.BotID{Tenant: tenant, Bot: "shop"}.WithConversation(id)
}

// takers makes every conversation take its events, but those that fail, and returns the events in their order.
func takers(c *mocks.Client, fails func(client.UpdateWorkflowOptions) error) *[]string {
	var mu sync.Mutex
	var ids []string
	intaketest.Accepting(c, func(o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
		if err := fails(o.UpdateOptions); err != nil {
			return nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		ids = append(ids, o.UpdateOptions.UpdateID)
		return intaketest.UpdateHandle(nil), nil
	})
	return &ids
}

func none(client.UpdateWorkflowOptions) error { return nil }

// letters are dead letters of events.
type letters struct{ ids []string }

func (l *letters) Write(_ context.Context, _ schemas.ConversationKey, e schemas.Event, reason *fault.Fault) error {
	if _, err := e.Encode(); err != nil {
		return fault.Wrap(fault.TooLarge, err, "too large")
	}
	l.ids = append(l.ids, e.ID+" "+string(reason.Kind))
	return nil
}

// mark is a stored time, and how often it was stored.
type mark struct {
	at  time.Time
	err error
}

func (m *mark) Get(context.Context) (time.Time, error) { return m.at, m.err }

func (m *mark) Put(_ context.Context, at time.Time) error {
	m.at = at
	return nil
}

// recovering runs a recovery for a time.
func recovering(t *testing.T, rec *recovery.Recovery, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	rec.Run(ctx)
}
