package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// softDeadline is the soft deadline of the step in hand, at which a progress message is published. A first attempt that is
// a local activity publishes it itself; in all other cases the workflow watches the deadline with a timer.
type softDeadline struct {
	c    *conversation
	d    *step.Delivery
	in   step.WebhookInput
	ends func() // stops to watch; nil: the workflow does not watch
}

// attemptPublishes reports whether a first attempt publishes what else the engine reads beside the reply.
func (c *conversation) attemptPublishes() bool { return c.state.Format >= step.FormatAttemptPublishes }

// watch publishes the progress message when the soft deadline passes before stop is called, unless it is published already.
// Steps without a soft deadline, and nil, have nothing to watch.
func (s *softDeadline) watch(ctx workflow.Context, published bool) {
	if s == nil || published || s.ends != nil || s.in.Plan.Webhook.ProgressAfter <= 0 {
		return
	}
	left := s.in.Accepted.Add(s.in.Plan.Webhook.ProgressAfter.D()).Sub(workflow.Now(ctx))
	timed, cancel := workflow.WithCancel(ctx)
	timer := workflow.NewTimerWithOptions(timed, left, workflow.TimerOptions{Summary: "soft deadline"})
	ended := false
	workflow.Go(ctx, func(ctx workflow.Context) {
		defer func() { ended = true }()
		if timer.Get(ctx, nil) != nil {
			return
		}
		data := s.in.Running()
		data.Workflow = s.c.workflow
		publish(ctx, s.c.address(s.d.Event, s.d.Stored), schemas.TypeStepProgress, data)
	})
	s.ends = func() {
		cancel()
		patient, stop := workflow.NewDisconnectedContext(ctx)
		defer stop()
		_ = workflow.Await(patient, func() bool { return ended })
	}
}

// stop waits for a message that is on its way.
func (s *softDeadline) stop() {
	if s.ends != nil {
		s.ends()
	}
}
