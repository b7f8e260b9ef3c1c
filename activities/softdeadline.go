package activities

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// watchSoftDeadline publishes the progress message when the step's soft deadline passes before stop is called. Stop waits
// for a message that is on its way, for step.ReplyTimeout at most: one connection carries it and the reply, so that the
// reply is never before it. Stop reports whether the message is published.
func (c *call) watchSoftDeadline(ctx context.Context) (stop func() (published bool)) {
	if !c.in.Notify || c.progress.Notified {
		return func() bool { return c.progress.Notified }
	}
	w := c.in.Plan.Webhook
	left := c.clock.left() - (w.Timeout.D() - w.ProgressAfter.D())
	stopped, ended := make(chan struct{}), make(chan struct{})
	publishing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var published bool
	go func() {
		defer close(ended)
		timer := time.NewTimer(left)
		defer timer.Stop()
		select {
		case <-stopped:
		case <-timer.C:
			published = c.publishProgress(publishing)
		}
	}()
	return sync.OnceValue(func() bool {
		close(stopped)
		defer time.AfterFunc(step.ReplyTimeout, cancel).Stop()
		defer cancel()
		<-ended
		return published
	})
}

func (c *call) publishProgress(ctx context.Context) bool {
	data, run := c.in.Running(), activity.GetInfo(ctx).WorkflowExecution
	data.Workflow = schemas.WorkflowRef{ID: run.ID, RunID: run.RunID}
	in, err := c.address().Reply(schemas.TypeStepProgress, time.Now(), data)
	if err != nil {
		return false
	}
	_, err = c.PublishReply(ctx, in)
	return err == nil
}
