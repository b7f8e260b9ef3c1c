package activities

import (
	"strconv"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/schemas"
)

// spanOf returns what the spans of a step have in common.
func spanOf(in step.WebhookInput) telemetry.StepSpan {
	return telemetry.StepSpan{
		BotID: in.Plan.BotID, Step: in.Plan.Step, TraceParent: in.Event.TraceParent, TraceState: in.Event.TraceState,
		TraceID: in.TraceID(),
	}
}

// endAttempt ends the span of a request.
func endAttempt(span *telemetry.Span, attempt schemas.Attempt) {
	switch {
	case span == nil:
	case attempt.Status == 0:
		span.End(attempt.Error)
	case attempt.Error == string(fault.Status):
		span.End(strconv.Itoa(attempt.Status), telemetry.StatusCode(attempt.Status))
	default:
		span.End(attempt.Error, telemetry.StatusCode(attempt.Status))
	}
}

// traceOf returns the trace id of an event that belongs to a trace, "" of another one.
func traceOf(in step.WebhookInput) string {
	if in.Event.TraceParent == "" {
		return ""
	}
	return in.TraceID()
}
