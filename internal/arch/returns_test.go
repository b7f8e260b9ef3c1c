package arch

import (
	"fmt"
	"go/ast"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// falseReturns returns one sentence for every comment of the form "X returns …" on what returns nothing: a type that is
// not a function, or a function without results.
func falseReturns(tree []source) []string {
	var faults []string
	for _, s := range tree {
		check := func(name *ast.Ident, doc *ast.CommentGroup, t ast.Expr) {
			f, function := t.(*ast.FuncType)
			returns := function && f.Results != nil
			if doc != nil && strings.HasPrefix(doc.Text(), name.Name+" returns ") && !returns {
				faults = append(faults, fmt.Sprintf("%s:%d: %s returns nothing", s.path, s.files.Position(name.Pos()).Line, name))
			}
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				check(n.Name, n.Doc, n.Type)
			case *ast.GenDecl:
				for _, spec := range n.Specs {
					if t, ok := spec.(*ast.TypeSpec); ok {
						doc := t.Doc
						if doc == nil {
							doc = n.Doc
						}
						check(t.Name, doc, t.Type)
					}
				}
			}
			return true
		})
	}
	return faults
}

func TestWords_ReturnsWhatReturns(t *testing.T) {
	t.Parallel()
	report(t, falseReturns(readTree(t)))
}

func TestWords_ReturnsCanFail(t *testing.T) {
	t.Parallel()
	for text, faults := range map[string]int{
		"// T returns a place.\ntype T struct{}":            1,
		"// F returns the slot.\nfunc F() {}":               1,
		"// T returns a time.\ntype T func() int":           0,
		"// F returns the slot.\nfunc F() int { return 0 }": 0,
	} {
		tree := parseAll(t, map[string]string{"a.go": "package a\n\n" + text + "\n"})
		require.Len(t, falseReturns(tree), faults, text)
	}
}
