package workflows_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
	"github.com/hookturn/hookturn/workflows"
)

// TestLatency_AnswerAndDeadlineInOneTask: a workflow task that was repeated, or whose worker was stopped, has the answer and
// the hard deadline together. The one that came first counts, so that the repeated task publishes what the first one has.
func TestLatency_AnswerAndDeadlineInOneTask(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		format   step.Format
		together []int // event 13 is the hard deadline, 23 and 24 are the answer
		rest     []int // events 14 to 17 are the task that had the deadline alone, and the reply
		want     []string
	}{
		"deadline first": {
			step.FormatInOrder, []int{13, 23, 24}, []int{14, 15, 16, 17}, []string{"step.replied timeout", "step.late success"},
		},
		"reply not published yet": {step.FormatInOrder, []int{13, 23, 24}, []int{14, 15, 16}, []string{"step.replied timeout"}},
		"answer first":            {step.FormatInOrder, []int{23, 24, 13}, []int{14, 15, 16, 17}, []string{"step.replied success"}},
		"answer first, earlier format": {
			step.FormatCompleting, []int{23, 24, 13}, []int{14, 15, 16, 17}, []string{"step.replied timeout", "step.late success"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := readHistory(t, "testdata/histories/v5/late-answer.json.gz")
			input := h.GetEvents()[0].GetWorkflowExecutionStartedEventAttributes().GetInput().GetPayloads()[0]
			var state step.State
			require.NoError(t, json.Unmarshal(input.GetData(), &state))
			state.Format = c.format
			var err error
			input.Data, err = json.Marshal(state)
			require.NoError(t, err)
			p := &publishes{}
			replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{
				DisableDeadlockDetection: true,
				Interceptors:             []interceptor.WorkerInterceptor{p},
			})
			require.NoError(t, err)
			workflows.Register(replayer)
			// The history ends with the reply: what comes after it has no commands to compare.
			_ = replayer.ReplayWorkflowHistory(nil, pick(h, slices.Concat([]int{1, 2, 3, 4, 5, 6, 7, 8}, c.together, c.rest)))
			require.Equal(t, c.want, p.made)
		})
	}
}

// pick is a history of some events of another, in another order.
func pick(from *historypb.History, ids []int) *historypb.History {
	h := &historypb.History{}
	for _, id := range ids {
		e := from.GetEvents()[id-1]
		e.EventId = int64(len(h.GetEvents()) + 1)
		if a := e.GetWorkflowTaskStartedEventAttributes(); a != nil {
			a.ScheduledEventId = e.GetEventId() - 1
		}
		if a := e.GetWorkflowTaskCompletedEventAttributes(); a != nil {
			a.ScheduledEventId, a.StartedEventId = e.GetEventId()-2, e.GetEventId()-1
		}
		if a := e.GetActivityTaskCompletedEventAttributes(); a != nil {
			a.StartedEventId = e.GetEventId() - 1
		}
		h.Events = append(h.Events, e)
	}
	return h
}

// publishes collects what workflows publish.
type publishes struct {
	interceptor.WorkerInterceptorBase

	made []string
}

func (p *publishes) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor,
) interceptor.WorkflowInboundInterceptor {
	in := &publishesIn{all: p}
	in.Next = next
	return in
}

type publishesIn struct {
	interceptor.WorkflowInboundInterceptorBase

	all *publishes
}

func (p *publishesIn) Init(next interceptor.WorkflowOutboundInterceptor) error {
	out := &publishesOut{all: p.all}
	out.Next = next
	return p.Next.Init(out)
}

type publishesOut struct {
	interceptor.WorkflowOutboundInterceptorBase

	all *publishes
}

func (p *publishesOut) ExecuteLocalActivity(ctx workflow.Context, activity string, args ...any) workflow.Future {
	if in, ok := args[0].(step.PublishInput); ok {
		var data schemas.StepReplied
		_ = json.Unmarshal(in.Reply.Data, &data)
		end := string(data.Outcome)
		if data.Error != nil {
			end = data.Error.Kind
		}
		p.all.made = append(p.all.made, strings.TrimPrefix(in.Reply.Type, "hookturn.")+" "+end)
	}
	return p.Next.ExecuteLocalActivity(ctx, activity, args...)
}
