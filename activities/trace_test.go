package activities_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/schemas"
)

const eventParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func traced(b *bundle) *tracetest.InMemoryExporter {
	spans := tracetest.NewInMemoryExporter()
	b.activities.Traces = telemetry.NewTraces(sdktrace.WithSyncer(spans))
	return spans
}

// TestTrace_AttemptIsTheParentOfTheEndpoint: each request has a span of its own, and the endpoint receives that span.
func TestTrace_AttemptIsTheParentOfTheEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t)
	spans := traced(b)
	b.answer = func(n int) (*egress.Response, error) {
		if n == 1 {
			return response(http.StatusServiceUnavailable, ""), nil
		}
		return response(http.StatusOK, `{"response":["ok"]}`), nil
	}
	in := b.input(t, "PLAIN")
	in.Event.TraceParent = eventParent
	_, err := b.call(in)
	in.Progress = progress(t, err)
	_, err = b.call(in)
	require.NoError(t, err)

	found := spans.GetSpans()
	require.Len(t, found, 2)
	for i, span := range found {
		require.Equal(t, "POST", span.Name)
		require.Equal(t, "b7ad6b7169203331", span.Parent.SpanID().String())
		require.Equal(t, "00-0af7651916cd43dd8448eb211c80319c-"+span.SpanContext.SpanID().String()+"-01",
			b.requests[i].Header.Get("Traceparent"))
		attributes := map[string]any{}
		for _, a := range span.Attributes {
			attributes[string(a.Key)] = a.Value.AsInterface()
		}
		require.EqualValues(t, i+1, attributes["hookturn.attempt"])
		require.NotContains(t, attributes["url.full"], "?")
		if i == 0 {
			require.Equal(t, "503", attributes["error.type"])
			continue
		}
		require.EqualValues(t, 1, attributes["http.request.resend_count"])
		require.EqualValues(t, 200, attributes["http.response.status_code"])
		require.NotContains(t, attributes, "error.type")
	}
}

// TestTrace_ReplyIsPublishedOnce: a reply that another attempt has stored before has its span already.
func TestTrace_ReplyIsPublishedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	spans := traced(b)
	b.publish = func(schemas.Reply) error { return nil }
	in := step.PublishInput{BotID: schemas.BotID{Tenant: "default", Bot: "shop"}, Reply: schemas.Reply{
		ID: "r1", Type: schemas.TypeStepReplied, Subject: "c", TraceParent: eventParent,
	}}
	_, err := b.ExecuteActivity(step.ActivityPublish, in)
	require.NoError(t, err)
	require.Len(t, spans.GetSpans(), 1)
	require.Equal(t, "publish hookturn.replies", spans.GetSpans()[0].Name)
	require.Equal(t, "b7ad6b7169203331", spans.GetSpans()[0].Parent.SpanID().String())
	b.stored = &schemas.Reply{ID: "r1", Data: []byte(`{}`)}
	_, err = b.ExecuteActivity(step.ActivityPublish, in)
	require.NoError(t, err)
	require.Len(t, spans.GetSpans(), 1)
}
