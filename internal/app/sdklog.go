package app

import (
	"context"
	"log/slog"
	"reflect"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"

	"github.com/hookturn/hookturn/internal/telemetry"
)

// failuresKept bounds the errors of activities, and those after their deadline, whose trace is remembered until the SDK has
// logged them.
const failuresKept = 256

// sdkLog lets log lines have the trace of the event that they are about: those of activities by their context, those that
// the SDK writes when an activity has failed by the activity's error, and the one about an activity that ends after its
// deadline, which may have no error, by its run and attempt.
type sdkLog struct {
	interceptor.InterceptorBase

	traces *lru.Cache[error, telemetry.Traced]
	late   *lru.Cache[try, telemetry.Traced]
}

// try is one attempt of an activity, as the SDK's lines name it.
type try struct {
	workflow, run, activity string
	attempt                 int32
}

// logSDK makes a client, and the workers on it, log to l.
func logSDK(opts *client.Options, l *slog.Logger) {
	traces, _ := lru.New[error, telemetry.Traced](failuresKept) // fails for a size below 1 only
	late, _ := lru.New[try, telemetry.Traced](failuresKept)
	s := &sdkLog{traces: traces, late: late}
	opts.Logger = sdkLogger{l, s}
	opts.Interceptors = append(opts.Interceptors, s)
}

// InterceptActivity implements interceptor.WorkerInterceptor.
func (s *sdkLog) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor,
) interceptor.ActivityInboundInterceptor {
	i := &tracedActivity{log: s}
	i.Next = next
	return i
}

// tracedActivity runs an activity in a context with the trace of its input.
type tracedActivity struct {
	interceptor.ActivityInboundInterceptorBase

	log *sdkLog
}

// ExecuteActivity implements interceptor.ActivityInboundInterceptor.
func (a *tracedActivity) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	of := tracedOf(in.Args)
	if of == nil {
		return a.Next.ExecuteActivity(ctx, in)
	}
	result, err := a.Next.ExecuteActivity(telemetry.WithTrace(ctx, of), in)
	if err != nil && reflect.TypeOf(err).Kind() == reflect.Pointer { // each error is a value of its own
		a.log.traces.Add(err, of)
	}
	if ctx.Err() != nil {
		i := activity.GetInfo(ctx)
		a.log.late.Add(try{i.WorkflowExecution.ID, i.WorkflowExecution.RunID, i.ActivityType.Name, i.Attempt}, of)
	}
	return result, err
}

// tracedOf returns the argument that belongs to a trace, nil when none does.
func tracedOf(arguments []any) telemetry.Traced {
	for _, argument := range arguments {
		if of, ok := argument.(telemetry.Traced); ok {
			return of
		}
	}
	return nil
}

// sdkLogger writes the SDK's lines with our keys.
type sdkLogger struct {
	log *slog.Logger
	sdk *sdkLog
}

var _ log.Logger = sdkLogger{}

// Debug implements log.Logger. The SDK writes several lines of this level for each task.
func (l sdkLogger) Debug(msg string, keyvals ...any) { l.write(slog.LevelDebug, msg, keyvals) }

// Info implements log.Logger.
func (l sdkLogger) Info(msg string, keyvals ...any) { l.write(slog.LevelInfo, msg, keyvals) }

// Warn implements log.Logger.
func (l sdkLogger) Warn(msg string, keyvals ...any) { l.write(slog.LevelWarn, msg, keyvals) }

// Error implements log.Logger.
func (l sdkLogger) Error(msg string, keyvals ...any) { l.write(slog.LevelError, msg, keyvals) }

func (l sdkLogger) write(level slog.Level, msg string, keyvals []any) {
	if ctx := context.Background(); l.log.Enabled(ctx, level) {
		l.log.Log(ctx, level, msg, l.sdk.ours(keyvals)...) //nolint:sloglint // the texts are the SDK's
	}
}

// ourKey returns the key of docs/operations.md for one of the SDK, "" for what is not logged: the result of an activity
// holds messages.
func ourKey(key string) string {
	switch key {
	case "WorkflowID":
		return "workflow"
	case "RunID":
		return "run_id"
	case "Attempt":
		return "attempt"
	case "Error":
		return "error"
	case "Result":
		return ""
	}
	return key
}

func (s *sdkLog) ours(keyvals []any) []any {
	out := make([]any, 0, len(keyvals)+2)
	var about try
	traced := false
	for i := 0; i+1 < len(keyvals); i += 2 {
		key, value := keyvals[i], keyvals[i+1]
		if name, isText := key.(string); isText {
			about.note(name, value)
			if key = ourKey(name); key == "" {
				continue
			}
		}
		out = append(out, key, value)
		if of, known := s.failed(value); known {
			out, traced = append(out, telemetry.KeyTrace, of.TraceID()), true
		}
	}
	if of, known := s.late.Get(about); known && !traced {
		out = append(out, telemetry.KeyTrace, of.TraceID())
	}
	return out
}

// note takes one value of a line into account.
func (t *try) note(key string, value any) {
	switch v := value.(type) {
	case int32:
		if key == "Attempt" {
			t.attempt = v
		}
	case string:
		switch key {
		case "WorkflowID":
			t.workflow = v
		case "RunID":
			t.run = v
		case "ActivityType":
			t.activity = v
		}
	}
}

// failed returns what an activity's error is about.
func (s *sdkLog) failed(value any) (telemetry.Traced, bool) {
	err, ok := value.(error)
	if !ok || reflect.TypeOf(err).Kind() != reflect.Pointer {
		return nil, false
	}
	return s.traces.Get(err)
}
