package telemetry_test

import (
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/schemas"
)

// otlp is a collector that keeps what it receives, over gRPC and over HTTP.
type otlp struct {
	collector.UnimplementedTraceServiceServer

	mu    sync.Mutex
	spans []*tracepb.Span
	of    map[string]string // attributes of the resource
}

func (o *otlp) Export(
	_ context.Context, r *collector.ExportTraceServiceRequest,
) (*collector.ExportTraceServiceResponse, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, resource := range r.GetResourceSpans() {
		for _, a := range resource.GetResource().GetAttributes() {
			o.of[a.GetKey()] = a.GetValue().GetStringValue()
		}
		for _, scope := range resource.GetScopeSpans() {
			o.spans = append(o.spans, scope.GetSpans()...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func (o *otlp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request collector.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &request) != nil {
		http.Error(w, "not a request of OTLP", http.StatusBadRequest)
		return
	}
	_, _ = o.Export(r.Context(), &request)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// named returns the one span of a name.
func (o *otlp) named(t *testing.T, name string) *tracepb.Span {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	var found []*tracepb.Span
	for _, s := range o.spans {
		if s.GetName() == name {
			found = append(found, s)
		}
	}
	require.Len(t, found, 1, "spans of the name %s", name)
	return found[0]
}

// serveOTLP serves a collector and returns its address by protocol.
func serveOTLP(t *testing.T, protocol string) (*otlp, string) {
	t.Helper()
	o := &otlp{of: map[string]string{}}
	if protocol != "grpc" {
		server := httptest.NewServer(o)
		t.Cleanup(server.Close)
		return o, server.URL
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, o)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		require.NoError(t, <-done)
	})
	return o, "http://" + listener.Addr().String()
}

const engineParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// clearOTEL removes the variables that the exporter of this machine may have.
func clearOTEL(t *testing.T) {
	t.Helper()
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, "")
			require.NoError(t, os.Unsetenv(name))
		}
	}
}

func TestStartTraces_ExportsToACollector(t *testing.T) { //nolint:paralleltest // the environment is shared
	for _, protocol := range []string{"", "http/protobuf", "grpc"} {
		t.Run("protocol "+protocol, func(t *testing.T) {
			o, address := serveOTLP(t, protocol)
			env := map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
				"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
			}
			clearOTEL(t)
			for name, value := range env {
				t.Setenv(name, value)
			}
			traces, err := telemetry.StartTraces(t.Context(), telemetry.TraceOptions{
				Service: "hookturn-worker", Version: "v1", Lookup: func(name string) string { return env[name] },
				Log: slog.New(slog.DiscardHandler),
			})
			require.NoError(t, err)
			owner := schemas.BotID{Tenant: "acme", Bot: "shop"}
			event := schemas.Event{ID: "e1", Type: schemas.TypeStepRequested, Subject: "c", TraceParent: engineParent}
			intake := traces.Event(owner.WithConversation("c"), &event, time.Now())
			update := traces.Update(intake, "step.requested")
			of := telemetry.StepSpan{BotID: owner, Step: "ORDER", TraceParent: event.TraceParent}
			attempt := traces.Attempt(of, "https://shop.example:8443/orders", 2)
			script := traces.Script(of, "verify.py")
			reply := traces.Reply(of, schemas.TypeStepReplied, "r1")
			lost := traces.Reply(of, schemas.TypeStepLate, "r2")
			require.NotNil(t, lost, "a span that does not end is not exported")
			for _, span := range []*telemetry.Span{update, intake, script, reply} {
				span.End("")
			}
			attempt.End("timeout", telemetry.StatusCode(504))
			require.NoError(t, traces.Stop(t.Context()))

			require.Len(t, o.spans, 5)
			require.Equal(t, "hookturn-worker", o.of["service.name"])
			require.Equal(t, "test", o.of["deployment.environment.name"])
			root := o.named(t, "process hookturn.events")
			require.Equal(t, "b7ad6b7169203331", hex.EncodeToString(root.GetParentSpanId()), "the engine's span is the parent")
			for _, name := range []string{"update step.requested", "POST", "script verify.py", "publish hookturn.replies"} {
				child := o.named(t, name)
				require.Equal(t, root.GetSpanId(), child.GetParentSpanId(), name)
				require.Equal(t, "0af7651916cd43dd8448eb211c80319c", hex.EncodeToString(child.GetTraceId()), name)
			}
			post := o.named(t, "POST")
			require.Equal(t, tracepb.Span_SPAN_KIND_CLIENT, post.GetKind())
			require.Equal(t, tracepb.Status_STATUS_CODE_ERROR, post.GetStatus().GetCode())
			attributes := map[string]string{}
			for _, a := range post.GetAttributes() {
				attributes[a.GetKey()] = strings.Trim(a.GetValue().String(), `"`)
			}
			for name, want := range map[string]string{
				"http.request.method": "POST", "url.full": "https://shop.example:8443/orders", "server.address": "shop.example",
				"server.port": "8443", "http.request.resend_count": "1", "hookturn.attempt": "2", "error.type": "timeout",
				"http.response.status_code": "504",
			} {
				require.Contains(t, attributes[name], want, name)
			}
		})
	}
}

// TestTraces_AttributesOfAnAttempt: server.port is required of HTTP clients, also when the URL leaves it out; a step that is
// not known has no attribute.
func TestTraces_AttributesOfAnAttempt(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewInMemoryExporter()
	traces := telemetry.NewTraces(sdktrace.WithSyncer(spans))
	for url, port := range map[string]int64{
		"https://shop.example/a": 443, "http://shop.example/a": 80, "https://shop.example:8443/a": 8443,
	} {
		spans.Reset()
		traces.Attempt(telemetry.StepSpan{}, url, 1).End("")
		attributes := attribute.NewSet(spans.GetSpans()[0].Attributes...)
		got, _ := attributes.Value("server.port")
		require.Equal(t, port, got.AsInt64(), url)
		require.False(t, attributes.HasValue("hookturn.step"))
	}
}

func TestStartTraces_NothingRunsWhenUnset(t *testing.T) {
	t.Parallel()
	for name, env := range map[string]map[string]string{
		"unset":       {},
		"disabled":    {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"},
		"no exporter": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"},
	} {
		traces, err := telemetry.StartTraces(t.Context(), telemetry.TraceOptions{Lookup: func(n string) string { return env[n] }})
		require.NoError(t, err, name)
		require.Nil(t, traces, name)
		require.NoError(t, traces.Stop(t.Context()), name)
	}
	_, err := telemetry.StartTraces(t.Context(), telemetry.TraceOptions{Lookup: func(name string) string {
		return map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "udp"}[name]
	}})
	require.ErrorContains(t, err, `invalid OTEL_EXPORTER_OTLP_PROTOCOL "udp": expected grpc or http/protobuf, for example`)
}

// stepWithoutTraces is what a step calls when no collector is configured.
func stepWithoutTraces(event *schemas.Event) {
	var traces *telemetry.Traces
	intake := traces.Event(schemas.ConversationKey{}, event, time.Time{})
	traces.Update(intake, "step.requested").End("")
	intake.End("")
	traces.Attempt(telemetry.StepSpan{}, "https://shop.example/orders", 1).End("")
	traces.Script(telemetry.StepSpan{}, "a.py").End("")
	traces.Reply(telemetry.StepSpan{}, "", "").End("")
}

func TestTraces_OffCostsNothing(t *testing.T) { //nolint:paralleltest // counts allocations
	event := schemas.Event{ID: "e1", TraceParent: engineParent}
	require.Zero(t, testing.AllocsPerRun(100, func() { stepWithoutTraces(&event) }))
	require.Equal(t, engineParent, event.TraceParent, "the engine's context travels on as it is")
}

func BenchmarkTraces_Off(b *testing.B) {
	event := schemas.Event{ID: "e1"}
	for b.Loop() {
		stepWithoutTraces(&event)
	}
}

func TestTraces_EventHasTheSameSpanEachTime(t *testing.T) {
	t.Parallel()
	traces := telemetry.NewTraces()
	owner := schemas.BotID{Tenant: "acme", Bot: "shop"}
	parentOf := func(key schemas.ConversationKey, parent string) string {
		event := schemas.Event{ID: "e1", Type: schemas.TypeStepRequested, TraceParent: parent}
		traces.Event(key, &event, time.Now())
		return event.TraceParent
	}
	first := parentOf(owner.WithConversation("c"), "")
	require.Regexp(t, "^00-[0-9a-f]{32}-[0-9a-f]{16}-01$", first)
	require.Contains(t, first, schemas.Event{ID: "e1", Subject: "c"}.TraceID(owner), "the trace id of log lines")
	require.Equal(t, first, parentOf(owner.WithConversation("c"), ""), "another try, in any process")
	require.NotEqual(t, first, parentOf(owner.WithConversation("d"), ""), "another event of the same id")
	require.Contains(t, parentOf(owner.WithConversation("c"), engineParent), "0af7651916cd43dd8448eb211c80319c")
	require.NotContains(t, parentOf(owner.WithConversation("c"), engineParent), "b7ad6b7169203331")
	off := strings.TrimSuffix(engineParent, "1") + "0"
	require.True(t, strings.HasSuffix(parentOf(owner.WithConversation("c"), off), "-00"), "the engine does not sample")
}

func TestMetrics_ExemplarsInOpenMetrics(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics()
	m.Attempt(schemas.BotID{Tenant: "acme", Bot: "shop"}, "ORDER", "2xx", time.Second, "0af7651916cd43dd8448eb211c80319c")
	scrape := func(accept string) string {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		m.Handler().ServeHTTP(w, r)
		return w.Body.String()
	}
	require.Contains(t, scrape("application/openmetrics-text; version=1.0.0"), `# {trace_id="0af7651916cd43dd8448eb211c80319c"} 1.0`)
	require.NotContains(t, scrape("text/plain"), "trace_id")
}
