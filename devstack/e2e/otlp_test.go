package e2e

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// span is one span as a collector receives it.
type span struct {
	*tracepb.Span

	service string
}

func (s span) id() string     { return hex.EncodeToString(s.GetSpanId()) }
func (s span) parent() string { return hex.EncodeToString(s.GetParentSpanId()) }

// attribute returns the text of an attribute, "" when the span does not have it.
func (s span) attribute(key string) string {
	for _, a := range s.GetAttributes() {
		if a.GetKey() != key {
			continue
		}
		if a.GetValue().GetStringValue() != "" {
			return a.GetValue().GetStringValue()
		}
		return fmt.Sprint(a.GetValue().GetIntValue())
	}
	return ""
}

// spans is an OTLP collector that keeps what it receives.
type spans struct {
	url string

	mu  sync.Mutex
	all []span
}

func newSpans(t *testing.T) *spans {
	t.Helper()
	c := &spans{}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

func (c *spans) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request collector.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(body, &request) != nil {
		http.Error(w, "not a request of OTLP", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range request.GetResourceSpans() {
		var service string
		for _, a := range resource.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				service = a.GetValue().GetStringValue()
			}
		}
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				c.all = append(c.all, span{s, service})
			}
		}
	}
}

// of returns the spans of a trace, in the order in which they began.
func (c *spans) of(id trace.TraceID) []span {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := slices.DeleteFunc(slices.Clone(c.all), func(s span) bool { return trace.TraceID(s.GetTraceId()) != id })
	slices.SortFunc(found, func(a, b span) int { return cmp.Compare(a.GetStartTimeUnixNano(), b.GetStartTimeUnixNano()) })
	return found
}

// tracer exports the spans of a program beside hookturn, such as an engine, to the collector.
func (c *spans) tracer(t *testing.T, service string) trace.Tracer {
	t.Helper()
	exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(c.url+"/v1/traces"))
	require.NoError(t, err)
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", service))))
	return provider.Tracer("e2e")
}

// shown are the attributes of a printed span, in this order.
func shown() []string {
	return []string{
		"hookturn.step", "hookturn.attempt", "http.request.resend_count", "http.response.status_code", "error.type",
	}
}

// tree prints a trace: name, service, kind, duration and the main attributes of each span below its parent.
func tree(all []span) string {
	var out strings.Builder
	known := map[string]bool{}
	for _, s := range all {
		known[s.id()] = true
	}
	var below func(parent, indent string)
	line := func(s span, head, indent string) {
		kind := strings.ToLower(strings.TrimPrefix(s.GetKind().String(), "SPAN_KIND_"))
		took := time.Duration(s.GetEndTimeUnixNano() - s.GetStartTimeUnixNano()).Round(10 * time.Microsecond)
		fmt.Fprintf(&out, "%s%s  [%s %s, %v]", head, s.GetName(), s.service, kind, took)
		for _, key := range shown() {
			if value := s.attribute(key); value != "" {
				fmt.Fprintf(&out, " %s=%s", key, value)
			}
		}
		out.WriteString("\n")
		below(s.id(), indent)
	}
	below = func(parent, indent string) {
		var children []span
		for _, s := range all {
			if s.parent() == parent {
				children = append(children, s)
			}
		}
		for i, s := range children {
			if i == len(children)-1 {
				line(s, indent+"└─ ", indent+"   ")
			} else {
				line(s, indent+"├─ ", indent+"│  ")
			}
		}
	}
	for _, s := range all {
		if !known[s.parent()] {
			line(s, "", "")
		}
	}
	return out.String()
}
