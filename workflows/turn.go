package workflows

import "go.temporal.io/sdk/workflow"

// turns lets Updates through one at a time, in the order in which they arrived.
type turns struct {
	taken   int // tickets given out
	serving int // the ticket whose turn it is
}

// wait takes a ticket and waits for its turn. An operator's cancellation does not jump the queue: what was accepted is
// answered first.
func (t *turns) wait(ctx workflow.Context) {
	ticket := t.taken
	t.taken++
	if t.serving == ticket {
		return
	}
	uncancelled, stop := workflow.NewDisconnectedContext(ctx)
	defer stop()
	_ = workflow.Await(uncancelled, func() bool { return t.serving == ticket })
}

// end lets the next ticket through.
func (t *turns) end() { t.serving++ }

// idle reports whether every Update that was accepted has been answered.
func (t *turns) idle() bool { return t.serving == t.taken }
