package telemetry

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/hookturn/hookturn/schemas"
)

// Span is one span of a trace. All methods of a nil *Span do nothing. A span that does not end is not exported: so what was
// tried in vain, and is tried again, leaves one span.
type Span struct {
	span trace.Span
	ctx  context.Context //nolint:containedctx // the parent of the spans below
}

// random returns a random id that is not zero.
func random[T ~[16]byte | ~[8]byte]() T {
	var id T
	switch into := any(&id).(type) {
	case *trace.TraceID:
		_, _ = rand.Read(into[:]) // never fails
	case *trace.SpanID:
		_, _ = rand.Read(into[:])
	}
	return id
}

// parent returns a context whose parent is the span of a traceparent.
func parent(ctx context.Context, traceParent, traceState string) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": traceParent, "tracestate": traceState})
}

// Parent returns the traceparent and the tracestate of the span.
func (s *Span) Parent() (traceParent, traceState string) {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(s.ctx, carrier)
	return carrier["traceparent"], carrier["tracestate"]
}

// End ends the span; an error code marks it as failed.
func (s *Span) End(errorCode string, more ...attribute.KeyValue) {
	if s == nil {
		return
	}
	s.span.SetAttributes(more...)
	if errorCode != "" {
		s.span.SetAttributes(attribute.String("error.type", errorCode))
		s.span.SetStatus(codes.Error, errorCode)
	}
	s.span.End()
}

// Event begins the span of an event in the intake and makes it the event's trace context, on which all later spans
// depend. The ids are functions of the event's identity, so that an event that is handled again, by any process, has the
// same span.
func (t *Traces) Event(key schemas.ConversationKey, e *schemas.Event, received time.Time) *Span {
	if t == nil {
		return nil
	}
	ctx := parent(context.Background(), e.TraceParent, e.TraceState)
	sum := sha256.Sum256([]byte(schemas.EventMsgID(key, e.ID)))
	ctx = context.WithValue(ctx, idsKey{}, fixedIDs{trace.TraceID(sum[:16]), trace.SpanID(sum[16:24])})
	ctx, span := t.tracer.Start(ctx, "process "+schemas.SubjectEvents, //nolint:spancheck // the caller ends it
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(received), trace.WithAttributes(
			attribute.String("messaging.system", "nats"),
			attribute.String("messaging.operation.type", "process"),
			attribute.String("messaging.operation.name", "process"),
			attribute.String("messaging.destination.name", schemas.SubjectEvents),
			attribute.String("messaging.message.id", e.ID),
			attribute.String("cloudevents.event_type", e.Type),
		), trace.WithAttributes(StepSpan{BotID: key.BotID, Step: e.Data.Step}.attributes()...))
	s := &Span{span, context.WithValue(ctx, idsKey{}, fixedIDs{trace.TraceID(sum[:16]), trace.SpanID(sum[24:])})}
	e.TraceParent, e.TraceState = s.Parent()
	return s //nolint:spancheck // as above
}

// Update begins the span of handing an event to its workflow. Its id is a function of the event's identity as well: an event
// that was accepted and is delivered again does not get a second span.
func (t *Traces) Update(of *Span, name string) *Span {
	if t == nil || of == nil {
		return nil
	}
	ctx, span := t.tracer.Start(of.ctx, "update "+name, //nolint:spancheck // the caller ends it
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
			attribute.String("rpc.system", "grpc"),
			attribute.String("rpc.service", "temporal.api.workflowservice.v1.WorkflowService"),
		))
	return &Span{span, context.WithValue(ctx, idsKey{}, nil)} //nolint:spancheck // as above
}

// Attempt begins the span of a request to an endpoint. The URL must not have a query.
func (t *Traces) Attempt(p StepSpan, endpoint string, n int) *Span {
	if t == nil {
		return nil
	}
	attributes := append(p.attributes(),
		attribute.String("http.request.method", http.MethodPost), attribute.String("url.full", endpoint),
		attribute.Int("hookturn.attempt", n))
	if n > 1 {
		attributes = append(attributes, attribute.Int("http.request.resend_count", n-1))
	}
	if u, err := url.Parse(endpoint); err == nil {
		attributes = append(attributes, attribute.String("server.address", u.Hostname()), attribute.Int("server.port", portOf(u)))
	}
	return t.begin(p, http.MethodPost, trace.SpanKindClient, attributes)
}

// portOf returns the port of a URL, or that of its scheme when the URL does not name one.
func portOf(u *url.URL) int {
	if port, err := strconv.Atoi(u.Port()); err == nil {
		return port
	}
	if u.Scheme == "http" {
		return 80
	}
	return 443
}

// Script begins the span of a script.
func (t *Traces) Script(p StepSpan, file string) *Span {
	if t == nil {
		return nil
	}
	return t.begin(p, "script "+file, trace.SpanKindInternal, append(p.attributes(), attribute.String("code.file.path", file)))
}

// Reply begins the span of publishing a reply.
func (t *Traces) Reply(p StepSpan, replyType, id string) *Span {
	if t == nil || p.TraceParent == "" {
		return nil
	}
	return t.begin(p, "publish "+schemas.SubjectReplies, trace.SpanKindProducer, append(p.attributes(),
		attribute.String("messaging.system", "nats"),
		attribute.String("messaging.operation.type", "send"),
		attribute.String("messaging.operation.name", "publish"),
		attribute.String("messaging.destination.name", schemas.SubjectReplies),
		attribute.String("messaging.message.id", id),
		attribute.String("cloudevents.event_type", replyType)))
}

// StepSpan is what the spans of a step have in common.
type StepSpan struct {
	schemas.BotID

	Step                    string
	TraceParent, TraceState string // of the event
	// TraceID is the trace of an event without a trace context, as 32 hex digits.
	TraceID string
}

func (p StepSpan) attributes() []attribute.KeyValue {
	all := []attribute.KeyValue{attribute.String("hookturn.tenant", p.Tenant), attribute.String("hookturn.bot", p.Bot)}
	if p.Step != "" { // such as of hookturn.entities.collected
		all = append(all, attribute.String("hookturn.step", p.Step))
	}
	return all
}

func (t *Traces) begin(p StepSpan, name string, kind trace.SpanKind, attributes []attribute.KeyValue) *Span {
	ctx := parent(context.Background(), p.TraceParent, p.TraceState)
	if id, err := trace.TraceIDFromHex(p.TraceID); err == nil && !trace.SpanContextFromContext(ctx).IsValid() {
		ctx = context.WithValue(ctx, idsKey{}, fixedIDs{id, random[trace.SpanID]()})
	}
	ctx, span := t.tracer.Start(ctx, name, //nolint:spancheck // the caller ends it
		trace.WithSpanKind(kind), trace.WithAttributes(attributes...))
	return &Span{span, ctx} //nolint:spancheck // as above
}

// StatusCode is the attribute of a response's status.
func StatusCode(status int) attribute.KeyValue {
	return attribute.Int("http.response.status_code", status)
}
