package stack_test

import (
	"context"
	"sync"
	"testing"

	commonpb "go.temporal.io/api/common/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/proxy"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/hookturn/hookturn/internal/stack"
)

// BenchmarkGrow_WorkflowTask visits the payloads of a workflow task in new goroutines, as the SDK does, with and without
// growing their stacks first.
func BenchmarkGrow_WorkflowTask(b *testing.B) {
	options := proxy.VisitPayloadsOptions{
		Visitor: func(_ *proxy.VisitPayloadsContext, p []*commonpb.Payload) ([]*commonpb.Payload, error) { return p, nil },
	}
	for name, first := range map[string]func(){"grown first": stack.Grow, "grown as needed": func() {}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				task := workflowTask()
				var wg sync.WaitGroup
				wg.Go(func() { first(); _ = proxy.VisitPayloads(context.Background(), task, options) })
				wg.Wait()
			}
		})
	}
}

// workflowTask is a task of a conversation: an event was accepted, and one before it has ended.
func workflowTask() *workflowservice.PollWorkflowTaskQueueResponse {
	payloads := &commonpb.Payloads{Payloads: []*commonpb.Payload{{Data: []byte("{}")}}}
	accepted := &historypb.WorkflowExecutionUpdateAcceptedEventAttributes{
		AcceptedRequest: &updatepb.Request{Input: &updatepb.Input{Args: payloads}},
	}
	ended := &historypb.MarkerRecordedEventAttributes{Details: map[string]*commonpb.Payloads{"result": payloads}}
	return &workflowservice.PollWorkflowTaskQueueResponse{History: &historypb.History{Events: []*historypb.HistoryEvent{
		{Attributes: &historypb.HistoryEvent_WorkflowExecutionUpdateAcceptedEventAttributes{
			WorkflowExecutionUpdateAcceptedEventAttributes: accepted,
		}},
		{Attributes: &historypb.HistoryEvent_MarkerRecordedEventAttributes{MarkerRecordedEventAttributes: ended}},
	}}}
}
