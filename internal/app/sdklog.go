package app

import (
	"context"
	"log/slog"
	"reflect"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"

	"github.com/hookturn/hookturn/internal/telemetry"
)

// failuresKept bounds the errors of activities whose trace is remembered until the SDK has logged them.
const failuresKept = 256

// sdkLog lets log lines have the trace of the event that they are about: those of activities by their context, those that
// the SDK writes when an activity has failed by the activity's error.
type sdkLog struct {
	interceptor.InterceptorBase

	traces *lru.Cache[error, telemetry.Traced]
}

// logSDK makes a client, and the workers on it, log to l.
func logSDK(opts *client.Options, l *slog.Logger) {
	traces, _ := lru.New[error, telemetry.Traced](failuresKept) // fails for a size below 1 only
	s := &sdkLog{traces: traces}
	opts.Logger = sdkLogger{log.NewStructuredLogger(l), s}
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
	var of telemetry.Traced
	for _, argument := range in.Args {
		if of, _ = argument.(telemetry.Traced); of != nil {
			ctx = telemetry.WithTrace(ctx, of)
			break
		}
	}
	result, err := a.Next.ExecuteActivity(ctx, in)
	if err != nil && of != nil && reflect.TypeOf(err).Kind() == reflect.Pointer { // each error is a value of its own
		a.log.traces.Add(err, of)
	}
	return result, err
}

// sdkLogger writes the SDK's lines with our keys.
type sdkLogger struct {
	log.Logger

	sdk *sdkLog
}

func (l sdkLogger) Debug(msg string, keyvals ...any) { l.Logger.Debug(msg, l.sdk.ours(keyvals)...) }
func (l sdkLogger) Info(msg string, keyvals ...any)  { l.Logger.Info(msg, l.sdk.ours(keyvals)...) }
func (l sdkLogger) Warn(msg string, keyvals ...any)  { l.Logger.Warn(msg, l.sdk.ours(keyvals)...) }
func (l sdkLogger) Error(msg string, keyvals ...any) { l.Logger.Error(msg, l.sdk.ours(keyvals)...) }

// ourKeys are the keys of docs/operations.md for those of the SDK. The result of an activity is not logged: it holds
// messages.
func ourKeys() map[string]string {
	return map[string]string{
		"WorkflowID": "workflow", "RunID": "run_id", "Attempt": "attempt", "Error": "error", "Result": "",
	}
}

func (s *sdkLog) ours(keyvals []any) []any {
	names := ourKeys()
	out := make([]any, 0, len(keyvals)+2)
	for i := 0; i+1 < len(keyvals); i += 2 {
		key, value := keyvals[i], keyvals[i+1]
		if name, isText := key.(string); isText {
			if our, known := names[name]; known && our == "" {
				continue
			} else if known {
				key = our
			}
		}
		out = append(out, key, value)
		if of, known := s.failed(value); known {
			out = append(out, telemetry.KeyTrace, of.TraceID())
		}
	}
	return out
}

// failed returns what an activity's error is about.
func (s *sdkLog) failed(value any) (telemetry.Traced, bool) {
	err, ok := value.(error)
	if !ok || reflect.TypeOf(err).Kind() != reflect.Pointer {
		return nil, false
	}
	return s.traces.Get(err)
}
