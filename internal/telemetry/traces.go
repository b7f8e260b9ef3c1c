package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"
)

// Traces records what happens to an event as OpenTelemetry spans. All methods of a nil *Traces do nothing.
type Traces struct {
	tracer   trace.Tracer
	provider *sdktrace.TracerProvider
}

// The protocols of the OTLP exporter, as OTEL_EXPORTER_OTLP_PROTOCOL names them.
const (
	protocolGRPC = "grpc"
	protocolHTTP = "http/protobuf"
)

// TraceOptions are what a process knows of its exporter. The OpenTelemetry libraries read the other OTEL_ variables
// themselves.
type TraceOptions struct {
	Service, Version string // of this process; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win
	// Lookup reads a variable.
	Lookup func(name string) string
	Log    *slog.Logger
}

// StartTraces returns the traces of a process, or nil when no exporter is configured: then nothing runs.
func StartTraces(ctx context.Context, o TraceOptions) (*Traces, error) {
	general, own := o.Lookup("OTEL_EXPORTER_OTLP_ENDPOINT"), o.Lookup("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	if general == "" && own == "" || o.Lookup("OTEL_SDK_DISABLED") == "true" || o.Lookup("OTEL_TRACES_EXPORTER") == "none" {
		return nil, nil
	}
	protocol := o.Lookup("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
	if protocol == "" {
		protocol = o.Lookup("OTEL_EXPORTER_OTLP_PROTOCOL")
	}
	exporter, err := newExporter(ctx, protocol)
	if err != nil {
		return nil, err
	}
	described, err := resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", o.Service), attribute.String("service.version", o.Version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("invalid OTEL_RESOURCE_ATTRIBUTES, expected name=value,name=value: %w", err),
			exporter.Shutdown(ctx))
	}
	handleErrors(o.Log)
	return NewTraces(sdktrace.WithBatcher(exporter), sdktrace.WithResource(described)), nil
}

// NewTraces returns new traces with the options of their provider: its exporter, above all.
func NewTraces(options ...sdktrace.TracerProviderOption) *Traces {
	provider := sdktrace.NewTracerProvider(append(options, sdktrace.WithIDGenerator(ids{}))...)
	return &Traces{tracer: provider.Tracer("github.com/hookturn/hookturn"), provider: provider}
}

func newExporter(ctx context.Context, protocol string) (sdktrace.SpanExporter, error) {
	switch protocol {
	case protocolGRPC:
		return otlptracegrpc.New(ctx)
	case protocolHTTP, "":
		return otlptracehttp.New(ctx)
	}
	return nil, fmt.Errorf("invalid OTEL_EXPORTER_OTLP_PROTOCOL %q: expected %s or %s, for example "+
		"OTEL_EXPORTER_OTLP_PROTOCOL=%s", protocol, protocolGRPC, protocolHTTP, protocolGRPC)
}

// handleErrors logs what goes wrong in the exporter, once a minute: a collector that is away must not fill the log.
func handleErrors(log *slog.Logger) {
	limit := rate.Sometimes{First: 1, Interval: time.Minute}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		limit.Do(func() {
			log.Warn("exporting traces failed, spans are lost", "error", err,
				"hint", "check OTEL_EXPORTER_OTLP_ENDPOINT and that the collector runs")
		})
	}))
}

// Stop exports what is left.
func (t *Traces) Stop(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// ids makes random ids, except where a span must have the same id each time that it is made.
type ids struct{}

type idsKey struct{}

type fixedIDs struct {
	trace trace.TraceID
	span  trace.SpanID
}

// NewIDs implements sdktrace.IDGenerator.
func (ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if fixed, ok := ctx.Value(idsKey{}).(fixedIDs); ok {
		return fixed.trace, fixed.span
	}
	return random[trace.TraceID](), random[trace.SpanID]()
}

// NewSpanID implements sdktrace.IDGenerator.
func (ids) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	if fixed, ok := ctx.Value(idsKey{}).(fixedIDs); ok {
		return fixed.span
	}
	return random[trace.SpanID]()
}
