package telemetry_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/schemas"
)

// TestStep_EveryResultBeginsAtZero: with the first answer of a step all results are there, so that the first failure is an
// increase. A step that does not count has none.
func TestStep_EveryResultBeginsAtZero(t *testing.T) {
	t.Parallel()
	results := []string{step.AnsweredInTime, step.AnsweredLate, step.NotAnswered}
	for _, answered := range results {
		m, shop := telemetry.NewMetrics(), schemas.BotID{Tenant: "acme", Bot: "shop"}
		m.Step(shop, "", "rejected", "", time.Second)
		require.NotContains(t, scrape(t, m), "hookturn_step_answers_total{")
		m.Step(shop, "ORDER", "success", answered, time.Second)
		text := scrape(t, m)
		require.Equal(t, len(results), strings.Count(text, "hookturn_step_answers_total{"), answered)
		for _, result := range results {
			want := 0
			if result == answered {
				want = 1
			}
			require.Contains(t, text,
				fmt.Sprintf("hookturn_step_answers_total{bot=\"shop\",result=%q,step=\"ORDER\",tenant=\"acme\"} %d\n", result, want))
		}
	}
}
