package intake_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/internal/intake/intaketest"
	"github.com/hookturn/hookturn/internal/telemetry"
)

// TestIntake_OneSpanForEachEvent: tries that failed, and a delivery that was one too many, leave no span of their own, and
// every try hands the same trace context to the workflow.
func TestIntake_OneSpanForEachEvent(t *testing.T) {
	t.Parallel()
	in, c := intaketest.Setup(t)
	spans := tracetest.NewInMemoryExporter()
	in.Traces = telemetry.NewTraces(sdktrace.WithSyncer(spans))
	intaketest.Running(c, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)
	var contexts []string
	failure := errors.New("away")
	intaketest.Accepting(c, func(o client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
		contexts = append(contexts, intaketest.Delivered(o.UpdateOptions).Event.TraceParent)
		if failure != nil {
			return nil, failure
		}
		return intaketest.UpdateHandle(nil), nil
	})
	m := intaketest.Requested("shop")
	m.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	intaketest.RequireOutcome(t, in.Handle(t.Context(), m), "", true)
	require.Empty(t, spans.GetSpans())
	failure = nil
	intaketest.RequireOutcome(t, in.Handle(t.Context(), m), "", false)

	found := spans.GetSpans()
	require.Len(t, found, 2)
	update, event := found[0], found[1]
	require.Equal(t, "update step.requested", update.Name)
	require.Equal(t, "process hookturn.events", event.Name)
	require.Equal(t, event.SpanContext.SpanID(), update.Parent.SpanID())
	require.Equal(t, "b7ad6b7169203331", event.Parent.SpanID().String())
	require.Len(t, contexts, 2)
	require.Equal(t, contexts[0], contexts[1])
	require.Equal(t, "00-0af7651916cd43dd8448eb211c80319c-"+event.SpanContext.SpanID().String()+"-01", contexts[0])

	m.Deliveries = 2 // the acknowledgement was lost
	intaketest.RequireOutcome(t, in.Handle(t.Context(), m), "", false)
	require.Len(t, spans.GetSpans(), 4)
	for i, again := range spans.GetSpans()[2:] {
		require.Equal(t, found[i].SpanContext.SpanID(), again.SpanContext.SpanID(), "%s has a second span", again.Name)
	}
	require.NoError(t, in.Traces.Stop(context.Background()))
}
