package workflows

import "go.temporal.io/sdk/workflow"

// lane lets Updates through one at a time, in the order in which they arrived.
type lane struct {
	joined  int // tickets given out
	serving int // the ticket whose turn it is
}

// enter takes a ticket and waits for its turn. An operator's cancellation does not jump the queue: what was accepted is
// answered first.
func (l *lane) enter(ctx workflow.Context) {
	ticket := l.joined
	l.joined++
	if l.serving == ticket {
		return
	}
	patient, stop := workflow.NewDisconnectedContext(ctx)
	defer stop()
	_ = workflow.Await(patient, func() bool { return l.serving == ticket })
}

func (l *lane) leave() { l.serving++ }

// quiet says that every Update that was accepted has been answered.
func (l *lane) quiet() bool { return l.serving == l.joined }
