package workflows

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// TestAttemptOptions: a lost worker is noticed as soon as its load allows, and the server waits as long as an endpoint
// asks for.
func TestAttemptOptions(t *testing.T) {
	t.Parallel()
	in := step.WebhookInput{}
	in.Plan = bot.Plan{BotID: schemas.BotID{Tenant: "acme"}, Webhook: &bot.Webhook{}}
	require.Equal(t, heartbeatTimeout, attemptOptions(in, time.Minute).HeartbeatTimeout)
	in.Progress.HeartbeatTimeout = 3 * time.Second
	o := attemptOptions(in, time.Minute)
	require.Equal(t, 3*time.Second, o.HeartbeatTimeout, "what the worker of the first attempt asked for")
	require.GreaterOrEqual(t, o.RetryPolicy.MaximumInterval, egress.MaxRetryAfter+egress.MaxRetryAfter/10,
		"the server cuts a Retry-After at this interval")
	require.Zero(t, o.RetryPolicy.MaximumAttempts)
	require.Equal(t, time.Minute, o.ScheduleToCloseTimeout)
	require.Equal(t, "acme", o.Priority.FairnessKey)
	in.Plan.Webhook.AttemptTimeout = bot.Duration(15 * time.Second)
	require.Equal(t, 15*time.Second+step.AttemptSlack, attemptOptions(in, time.Minute).StartToCloseTimeout)
}

// TestScriptOptions: a script whose caller waits is given up soon. One that was accepted waits for a sandbox, for a worker
// and for Temporal, on a queue where it delays no other script.
func TestScriptOptions(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	in := step.ScriptRun{Timeout: bot.Duration(20 * time.Second), Started: now.Add(-time.Hour)}
	in.Plan = bot.Plan{BotID: schemas.BotID{Tenant: "acme"}, Code: &bot.Code{}}
	o := scriptOptions(in, now)
	require.Equal(t, step.QueueCode, o.TaskQueue)
	require.Equal(t, codeWait, o.ScheduleToStartTimeout)
	require.Equal(t, int32(codeTries), o.RetryPolicy.MaximumAttempts)

	in.Async = true
	o = scriptOptions(in, now)
	require.Equal(t, step.QueueCodeAsync, o.TaskQueue)
	require.Equal(t, "acme", o.Priority.FairnessKey)
	require.Zero(t, o.ScheduleToStartTimeout)
	require.Zero(t, o.RetryPolicy.MaximumAttempts)
	require.Equal(t, 30*time.Second, o.RetryPolicy.MaximumInterval)
	require.Equal(t, 23*time.Hour, o.ScheduleToCloseTimeout)
	require.Less(t, step.AsyncWithin, step.AsyncRunTimeout, "the workflow records that the script was not run")
	require.Equal(t, []string{"TemporalTimeout:StartToClose"}, o.RetryPolicy.NonRetryableErrorTypes, "it ran")
	in.Started = now.Add(-2 * step.AsyncWithin)
	require.Equal(t, 35*time.Second, scriptOptions(in, now).ScheduleToCloseTimeout, "one try remains")
}

// TestCodeFault_WorkerLost: the script of a code step that no worker took did not run, unless a worker had taken it before.
func TestCodeFault_WorkerLost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		kind fault.Kind
	}{
		"no worker":            {temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil), fault.SandboxUnavailable},
		"had not begun":        {temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil, step.Progress{NotBegun: true}), fault.SandboxUnavailable},
		"may have begun":       {temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil, step.Progress{}), fault.OutcomeUnknown},
		"not begun in a day":   {temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE, nil), fault.SandboxUnavailable},
		"ran at that time":     {temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE, nil, step.Progress{}), fault.OutcomeUnknown},
		"ran for too long":     {temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_START_TO_CLOSE, nil), fault.OutcomeUnknown},
		"no heartbeat came":    {temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_HEARTBEAT, nil), fault.OutcomeUnknown},
		"another worker knows": {temporal.NewNonRetryableApplicationError("lost", "outcome_unknown", nil), fault.OutcomeUnknown},
	} {
		require.Equal(t, c.kind, codeFault(c.err).Kind, name)
	}
}

// TestAttempts_WorkerLost: a request, or a script, that a worker had begun before it was lost is one of the step's attempts.
func TestAttempts_WorkerLost(t *testing.T) {
	t.Parallel()
	started := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	heard := step.Progress{
		Attempts: []schemas.Attempt{{N: 1, Error: "connect"}}, Running: &schemas.Attempt{N: 2, Started: started},
	}
	want := []schemas.Attempt{{N: 1, Error: "connect"}, {N: 2, Started: started, Error: "outcome_unknown"}}
	err := temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_CLOSE, nil, heard)
	p := progressOf(err, step.Progress{})
	require.Equal(t, want, p.Attempts)
	require.Equal(t, fault.Timeout, p.Fault.Kind)
	require.Nil(t, p.Running)

	code := bot.Plan{Code: &bot.Code{File: "x.py"}}
	begun := step.Progress{Running: &schemas.Attempt{N: 1, Started: started}}
	ran := []schemas.Attempt{{N: 1, Started: started, URL: "script:x.py", Error: "outcome_unknown"}}
	for name, c := range map[string]struct {
		err  error
		want []schemas.Attempt
	}{
		"no heartbeat":         {temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_HEARTBEAT, nil), nil},
		"had not begun":        {temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_HEARTBEAT, nil, step.Progress{NotBegun: true}), nil},
		"had begun":            {temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_HEARTBEAT, nil, begun), ran},
		"another worker knows": {temporal.NewNonRetryableApplicationError("lost", "outcome_unknown", nil, begun), ran},
		"was cancelled":        {temporal.NewCanceledError(), nil},
	} {
		require.Equal(t, c.want, lostRun(c.err, code), name)
	}
}

// TestOnCodeQueue: an activity that the server has given up for want of a heartbeat is run again, to find its script;
// one that took too long is not.
func TestOnCodeQueue(t *testing.T) {
	t.Parallel()
	o := codeOptions(time.Second, "summary")
	require.Equal(t, []string{"TemporalTimeout:StartToClose"}, o.RetryPolicy.NonRetryableErrorTypes)
}
