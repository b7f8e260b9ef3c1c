package workflows

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/schemas"
)

// TestAttemptOptions: a lost worker is noticed and replaced within 5 s, and the server waits as long as an endpoint asks for.
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
