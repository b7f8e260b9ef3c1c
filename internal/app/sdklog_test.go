package app

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/testsuite"

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
	traced := workers.InterceptActivity(t.Context(), &failing{run: func(ctx context.Context) error {
		logger.InfoContext(ctx, "own line")
		return failure
	}})
	in := step.WebhookInput{Event: schemas.Event{TraceParent: "00-" + trace + "-b7ad6b7169203331-01"}}
	_, err = traced.ExecuteActivity(t.Context(), &interceptor.ExecuteActivityInput{Args: []any{in}})
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

// TestLogSDK_TraceOfLateActivity: the SDK's line about an activity that ends well after its deadline has the trace, and one
// about another attempt does not.
func TestLogSDK_TraceOfLateActivity(t *testing.T) {
	t.Parallel()
	const trace = "0af7651916cd43dd8448eb211c80319c"
	var out bytes.Buffer
	logger, err := telemetry.NewLogger(&out, "debug", telemetry.FormatJSON)
	require.NoError(t, err)
	in := step.WebhookInput{Event: schemas.Event{TraceParent: "00-" + trace + "-b7ad6b7169203331-01"}}
	for ended, want := range map[bool]int{false: 0, true: 1} {
		out.Reset()
		var opts client.Options
		logSDK(&opts, logger) // it remembers late activities
		workers, ok := opts.Interceptors[0].(interceptor.WorkerInterceptor)
		require.True(t, ok)
		traced := workers.InterceptActivity(t.Context(), &failing{run: func(context.Context) error { return nil }})
		var suite testsuite.WorkflowTestSuite
		suite.SetLogger(opts.Logger)
		environment := suite.NewTestActivityEnvironment().SetTestTimeout(time.Minute)
		run := func(ctx context.Context) error {
			info := activity.GetInfo(ctx)
			if ended {
				var cancel context.CancelFunc
				ctx, cancel = context.WithCancel(ctx)
				cancel()
			}
			_, err := traced.ExecuteActivity(ctx, &interceptor.ExecuteActivityInput{Args: []any{in}})
			for _, attempt := range []int32{info.Attempt, info.Attempt + 1} {
				opts.Logger.Info("Activity complete after timeout.", "WorkflowID", info.WorkflowExecution.ID, "RunID",
					info.WorkflowExecution.RunID, "ActivityType", info.ActivityType.Name, "Attempt", attempt, "Result", nil, "Error", nil)
			}
			return err
		}
		environment.RegisterActivity(run)
		_, err = environment.ExecuteActivity(run)
		require.NoError(t, err)
		require.Equal(t, want, strings.Count(out.String(), `"trace_id":"`+trace+`"`), &out)
	}
}
