package bot

import (
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// wrongType never shows the value: it may be a secret in the wrong place.
func (d *document) wrongType(path, want string, n ast.Node) bool {
	hint := ""
	if _, scalar := n.(ast.ScalarNode); scalar && want == "a string" {
		hint = ": put it in quotes"
	}
	d.problem(path, "want %s, found %s%s", want, kindOf(n), hint)
	return false
}

func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.StringNode, *ast.LiteralNode:
		return "a string"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.SequenceNode:
		return "a list"
	case ast.MapNode:
		return "a mapping"
	}
	return "something else"
}

func stringOf(n ast.Node) (string, bool) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.LiteralNode:
		return v.Value.Value, true
	}
	return "", false
}

// keyText is a key as the file spells it: the step 404 and the language no are names like any other.
func keyText(n ast.MapKeyNode) (string, bool) {
	switch v := n.(type) {
	case *ast.StringNode:
		return v.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.MergeKeyNode, *ast.NullNode:
		return v.GetToken().Value, true
	}
	return "", false
}

// placeOf is where a reader looks for a value: at the value itself when it is a scalar or an element of a list, at its
// key when it is a whole block.
func placeOf(key *token.Token, value ast.Node) place {
	var p place
	at := key
	if _, null := value.(*ast.NullNode); key == nil || (isScalar(value) && !null) {
		at = firstToken(value)
	}
	if at != nil && at.Position != nil {
		p.line, p.column = at.Position.Line, at.Position.Column
	}
	return p
}

func isScalar(n ast.Node) bool {
	_, ok := n.(ast.ScalarNode)
	return ok
}

// firstToken is where a node begins; a block mapping calls its first colon its own token.
func firstToken(n ast.Node) *token.Token {
	if mapping, ok := n.(ast.MapNode); ok {
		if it := mapping.MapRange(); it.Next() && it.Key().GetToken() != nil {
			return it.Key().GetToken()
		}
	}
	if n == nil {
		return nil
	}
	return n.GetToken()
}
