// Package workflows decides what a conversation does next. It is deterministic: what it knows comes from its input, from
// Updates and from results of activities, and what it decides is in decide.go, which touches nothing of Temporal.
//
//	Conversation  one run per conversation: it keeps order and state; every event is an Update
//	Step          one step on its own, for bots whose steps run side by side
//	Queue         one run per step that works in the background: its requests, one after another
//
// Open runs were started by an earlier release, so a change of what these workflows command needs a replay of the
// recorded histories in testdata/histories (see CONTRIBUTING.md, "Changing a workflow").
package workflows

import (
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/step"
)

// Register registers every workflow under its contract name. Workers, unit tests and replay tests all use it, so they
// cannot disagree about a name.
func Register(r worker.WorkflowRegistry) {
	r.RegisterWorkflowWithOptions(Conversation, workflow.RegisterOptions{Name: step.WorkflowConversation})
	r.RegisterWorkflowWithOptions(Queue, workflow.RegisterOptions{Name: step.WorkflowQueue})
	r.RegisterWorkflowWithOptions(Step, workflow.RegisterOptions{Name: step.WorkflowStep})
}
