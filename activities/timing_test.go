package activities_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/schemas"
)

// TestStepMetrics_BothWaysToPublish checks that a step is counted by whichever activity published its reply, with the time
// since its event was accepted.
func TestStepMetrics_BothWaysToPublish(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.local = true
	b.publish = func(schemas.Reply) error { return nil }
	m := telemetry.NewMetrics()
	b.activities.Metrics = m

	in := b.input(t, "PLAIN")
	in.Reply, in.Arrived = true, time.Now().Add(-45*time.Second) // the timeout is 30 s
	_, err := b.call(in)
	require.NoError(t, err)

	shop := schemas.BotID{Tenant: "default", Bot: "shop"}
	timing := &step.Timing{Step: "PLAIN", Accepted: time.Now().Add(-2 * time.Hour), Outcome: schemas.OutcomeBotBreak, Failed: true}
	before := schemas.Reply{Time: timing.Accepted.Add(40 * time.Second)}
	b.stored = &before // by a worker that was taken for lost: the engine had the reply then
	_, err = b.ExecuteActivity(step.ActivityPublish, step.PublishInput{BotID: shop, Reply: schemas.Reply{Type: schemas.TypeStepReplied}, Timing: timing})
	require.NoError(t, err)

	answer := httptest.NewRecorder()
	m.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	text := answer.Body.String()
	for _, line := range []string{
		`hookturn_replies_total{bot="shop",tenant="default",type="hookturn.step.replied"} 1`, // the other one was stored before
		`hookturn_step_answers_total{bot="shop",result="late",step="PLAIN",tenant="default"} 1`,
		`hookturn_step_answers_total{bot="shop",result="failed",step="PLAIN",tenant="default"} 1`,
		`hookturn_step_duration_seconds_bucket{bot="shop",outcome="success",step="PLAIN",tenant="default",le="30"} 0`,
		`hookturn_step_duration_seconds_bucket{bot="shop",outcome="success",step="PLAIN",tenant="default",le="60"} 1`,
		`hookturn_step_duration_seconds_bucket{bot="shop",outcome="bot_break",step="PLAIN",tenant="default",le="60"} 1`,
	} {
		require.Contains(t, text, line+"\n", strings.Join(grep(text, "hookturn_step"), "\n"))
	}
}

func grep(text, part string) (lines []string) {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			lines = append(lines, line)
		}
	}
	return lines
}
