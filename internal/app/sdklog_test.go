package app

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"

	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/schemas"
)

// failing is an activity that logs, and returns an error.
type failing struct {
	interceptor.ActivityInboundInterceptorBase

	run func(ctx context.Context) error
}

func (f *failing) ExecuteActivity(ctx context.Context, _ *interceptor.ExecuteActivityInput) (any, error) {
	return nil, f.run(ctx)
}

// TestLogSDK_TraceOfActivity: an activity's own lines, and the SDK's line about its error, have the trace of its input. The
// SDK's keys are ours, and the result of an activity is not logged.
func TestLogSDK_TraceOfActivity(t *testing.T) {
	t.Parallel()
	const trace = "0af7651916cd43dd8448eb211c80319c"
	var out bytes.Buffer
	logger, err := telemetry.NewLogger(&out, "debug", telemetry.FormatJSON)
	require.NoError(t, err)
	var opts client.Options
	logSDK(&opts, logger)
	require.Len(t, opts.Interceptors, 1)
	workers, ok := opts.Interceptors[0].(interceptor.WorkerInterceptor)
	require.True(t, ok, "workers of the client use it")
	failure := errors.New("away")
	activity := workers.InterceptActivity(t.Context(), &failing{run: func(ctx context.Context) error {
		logger.InfoContext(ctx, "own line")
		return failure
	}})
	in := step.WebhookInput{Event: schemas.Event{TraceParent: "00-" + trace + "-b7ad6b7169203331-01"}}
	_, err = activity.ExecuteActivity(t.Context(), &interceptor.ExecuteActivityInput{Args: []any{in}})
	require.Same(t, failure, err, "the server gets the error as it is")
	require.Contains(t, out.String(), `"msg":"own line","trace_id":"`+trace+`"`)

	out.Reset()
	opts.Logger.Error("Activity error.", "WorkflowID", "w", "RunID", "r", "Attempt", 2, "Error", err, "Result", "secret")
	require.Contains(t, out.String(), `"workflow":"w","run_id":"r","attempt":2,"error":"away","trace_id":"`+trace+`"`)
	require.NotContains(t, out.String(), "secret")
	out.Reset()
	opts.Logger.Warn("Activity error.", "Error", errors.New("of another one"))
	require.NotContains(t, out.String(), "trace_id")
}
