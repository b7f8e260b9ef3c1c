package step_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

func TestTiming_Answered(t *testing.T) {
	t.Parallel()
	problem := &schemas.Error{Kind: "timeout"}
	for name, c := range map[string]struct {
		outcome schemas.Outcome
		err     *schemas.Error
		took    time.Duration
		want    string
	}{
		"success":                        {schemas.OutcomeSuccess, nil, time.Second, step.AnsweredInTime},
		"at the timeout":                 {schemas.OutcomeSuccess, nil, 2 * time.Second, step.AnsweredInTime},
		"after the timeout":              {schemas.OutcomeSuccess, nil, 3 * time.Second, step.AnsweredLate},
		"part of the answer dropped":     {schemas.OutcomeSuccess, problem, time.Second, step.AnsweredInTime},
		"the endpoint reports a failure": {schemas.OutcomeFailure, nil, time.Second, step.AnsweredInTime},
		"a failure without an answer":    {schemas.OutcomeFailure, problem, time.Second, step.NotAnswered},
		"bot break":                      {schemas.OutcomeBotBreak, problem, time.Second, step.NotAnswered},
		"failed step handed over":        {schemas.OutcomeHandover, problem, time.Second, step.NotAnswered},
		"undelivered":                    {schemas.OutcomeUndelivered, problem, time.Second, step.NotAnswered},
		"rejected":                       {schemas.OutcomeRejected, problem, time.Second, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan := &bot.Plan{Step: "ORDER", Code: &bot.Code{Timeout: bot.Duration(2 * time.Second)}}
			to := step.Address{Plan: plan, Accepted: time.UnixMilli(1700000000000)}
			in, err := to.Reply(schemas.TypeStepReplied, time.Now(), schemas.StepReplied{Outcome: c.outcome, Error: c.err})
			require.NoError(t, err)
			require.Equal(t, "ORDER", in.Timing.Step)
			require.Equal(t, c.want, in.Timing.Answered(c.took))
		})
	}
	in, err := (step.Address{}).Reply(schemas.TypeStepReplied, time.Now(), schemas.StepReplied{})
	require.NoError(t, err)
	require.Nil(t, in.Timing, "runs of earlier releases do not know when the event was accepted")
}
