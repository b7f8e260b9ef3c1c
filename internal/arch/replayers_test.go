package arch

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// replayerFaults returns one sentence for every replayer that ends a replay when a workflow task takes a second: on a busy
// machine it does, and a history that replays would count as one that does not.
func replayerFaults(tree []source) []string {
	var faults []string
	for _, s := range tree {
		local := s.localName("go.temporal.io/sdk/worker")
		if local == "" {
			continue
		}
		ast.Inspect(s.ast, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok {
				return true
			}
			made, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !isName(made.X, local) || !strings.HasPrefix(made.Sel.Name, "NewWorkflowReplayer") {
				return true
			}
			if len(call.Args) != 1 || !setsTrue(call.Args[0], "DisableDeadlockDetection") {
				faults = append(faults, fmt.Sprintf("%s uses %s.%s: expected NewWorkflowReplayerWithOptions with "+
					"WorkflowReplayerOptions{DisableDeadlockDetection: true}", s.path, local, made.Sel.Name))
			}
			return true
		})
	}
	slices.Sort(faults)
	return faults
}

// setsTrue reports whether an expression is a literal of a struct in which a field is true.
func setsTrue(e ast.Expr, field string) bool {
	literal, ok := e.(*ast.CompositeLit)
	return ok && slices.ContainsFunc(literal.Elts, func(element ast.Expr) bool {
		pair, ok := element.(*ast.KeyValueExpr)
		return ok && isName(pair.Key, field) && isName(pair.Value, "true")
	})
}

func isName(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

func TestReplayers_WithoutDeadlockDetection(t *testing.T) {
	t.Parallel()
	report(t, replayerFaults(readTree(t)))
}

func TestReplayers_CanFail(t *testing.T) {
	t.Parallel()
	for call, faults := range map[string]int{
		"sdk.NewWorkflowReplayer()":                                                                                           1,
		"sdk.NewWorkflowReplayerWithOptions(sdk.WorkflowReplayerOptions{})":                                                   1,
		"sdk.NewWorkflowReplayerWithOptions(sdk.WorkflowReplayerOptions{DisableDeadlockDetection: false})":                    1,
		"sdk.NewWorkflowReplayerWithOptions(options)":                                                                         1,
		"sdk.NewWorkflowReplayerWithOptions(sdk.WorkflowReplayerOptions{DataConverter: nil, DisableDeadlockDetection: true})": 0,
	} {
		text := "package a\nimport sdk \"go.temporal.io/sdk/worker\"\nvar _, _ = " + call + "\n"
		require.Len(t, replayerFaults(parseAll(t, map[string]string{"workflows/a_test.go": text})), faults, call)
	}
}
