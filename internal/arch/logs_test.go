package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// logKeys are keys that docs/operations.md ("Logs") has another name for.
var logKeys = map[string]string{
	"ms": "duration_ms", "took": "duration_ms", "duration": "duration_ms", "seconds": "duration_ms",
	"from": "remote_addr", "peer": "remote_addr", "sender": "remote_addr", "remote": "remote_addr",
	"err":             "error",
	"conversation_id": "conversation", "event_id": "event", "workflow_id": "workflow",
}

// logMessage is how the text of a log line begins: with the event's object, not with an article.
var logMessage = regexp.MustCompile(`^(?:an?|the) `)

// logMethods are the methods that write a log line, and the position of the line's text.
func logMethod(name string) (text int, ok bool) {
	switch {
	case slices.Contains([]string{"Debug", "Info", "Warn", "Error"}, name):
		return 0, true
	case slices.Contains([]string{"DebugContext", "InfoContext", "WarnContext", "ErrorContext"}, name):
		return 1, true
	case name == "Log":
		return 2, true
	}
	return 0, false
}

// logFaults returns one sentence for each log line that does not have the documented keys, or begins with an article.
func logFaults(tree []source) []string {
	var faults []string
	for _, s := range tree {
		ast.Inspect(s.ast, func(n ast.Node) bool {
			call, isCall := n.(*ast.CallExpr)
			if s.test || !isCall {
				return !s.test
			}
			method, isMethod := call.Fun.(*ast.SelectorExpr)
			if !isMethod {
				return true
			}
			text, logs := logMethod(method.Sel.Name)
			if !logs || len(call.Args) <= text {
				return true
			}
			at := fmt.Sprintf("%s:%d", s.path, s.files.Position(call.Pos()).Line)
			if message := literal(call.Args[text]); logMessage.MatchString(message) {
				faults = append(faults, fmt.Sprintf("%s: %q: begin with the object of the event", at, message))
			}
			for i := text + 1; i < len(call.Args); i += 2 {
				if key := literal(call.Args[i]); logKeys[key] != "" {
					faults = append(faults, fmt.Sprintf("%s: log key %q: write %q", at, key, logKeys[key]))
				}
			}
			return true
		})
	}
	return faults
}

// literal returns the value of a string literal, "" of anything else.
func literal(of ast.Expr) string {
	lit, isLiteral := of.(*ast.BasicLit)
	if !isLiteral || lit.Kind != token.STRING {
		return ""
	}
	value, _ := strconv.Unquote(lit.Value)
	return value
}

func TestLogs_DocumentedKeys(t *testing.T) {
	t.Parallel()
	report(t, logFaults(readTree(t)))
}

func TestLogs_CanFail(t *testing.T) {
	t.Parallel()
	s, err := parse("internal/a/a.go", `package a

func f() {
	log.InfoContext(ctx, "step ended", "step", "from", "ms", 5)
	log.Log(ctx, level, "request", "from", r.RemoteAddr)
	log.Warn("a step failed", "error", err)
	t.Error("the test failed", err)
}
`)
	require.NoError(t, err)
	require.Equal(t, []string{
		`internal/a/a.go:4: log key "ms": write "duration_ms"`,
		`internal/a/a.go:5: log key "from": write "remote_addr"`,
		`internal/a/a.go:6: "a step failed": begin with the object of the event`,
		`internal/a/a.go:7: "the test failed": begin with the object of the event`,
	}, logFaults([]source{s}))
}
