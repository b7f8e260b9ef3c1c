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

// TestAttemptOptions: a lost worker is noticed and replaced within 5 s, and the server waits as long as an endpoint
// asks for.
func TestAttemptOptions(t *testing.T) {
	t.Parallel()
	o := attemptOptions(bot.Plan{BotID: schemas.BotID{Tenant: "acme"}, Webhook: &bot.Webhook{}}, time.Minute)
	require.LessOrEqual(t, o.HeartbeatTimeout+o.RetryPolicy.InitialInterval, 4*time.Second)
	require.GreaterOrEqual(t, o.HeartbeatTimeout, 3*time.Second, "a heartbeat comes once a second; two may be late")
	require.GreaterOrEqual(t, o.RetryPolicy.MaximumInterval, egress.MaxRetryAfter+egress.MaxRetryAfter/10,
		"the server cuts a Retry-After at this interval")
	require.Zero(t, o.RetryPolicy.MaximumAttempts)
	require.Equal(t, time.Minute, o.ScheduleToCloseTimeout)
	require.Equal(t, "acme", o.Priority.FairnessKey)
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
		"ran for too long":     {temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_START_TO_CLOSE, nil), fault.OutcomeUnknown},
		"no heartbeat came":    {temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_HEARTBEAT, nil), fault.OutcomeUnknown},
		"another worker knows": {temporal.NewNonRetryableApplicationError("lost", "outcome_unknown", nil), fault.OutcomeUnknown},
	} {
		require.Equal(t, c.kind, codeFault(c.err).Kind, name)
	}
}

// TestOnCodeQueue: an activity that the server has given up for want of a heartbeat is run again, to find its script;
// one that took too long is not.
func TestOnCodeQueue(t *testing.T) {
	t.Parallel()
	o := codeOptions(time.Second, "summary")
	require.Equal(t, []string{"TemporalTimeout:StartToClose"}, o.RetryPolicy.NonRetryableErrorTypes)
}
