package bot

import (
	"fmt"

	"github.com/goccy/go-yaml/token"
)

// Bounds of what the YAML parser reads: its time and memory are not linear in the size of a file, and it cannot be stopped.
const (
	// nestingMax is far above what a bot file needs, and far below what makes the parser slow.
	nestingMax = 32
	// documentsMax bounds the marks between documents: the parser copies what stands before each.
	documentsMax = 16
	// pathBytesMax bounds the paths of all values together. The parser makes them, as the decoder does, but for keys that are
	// not known too.
	pathBytesMax = 4 * expandedBytesMax
)

// tooDeep finds the token that opens one level of nesting too many, on one line or in brackets. (Nesting by indentation
// is bounded by the size of the file.)
func tooDeep(tokens token.Tokens) *token.Token {
	var brackets, dashes, line int
	for _, t := range tokens {
		if t.Position.Line != line {
			line, dashes = t.Position.Line, 0
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			brackets++
		case token.SequenceEndType, token.MappingEndType:
			brackets--
		case token.SequenceEntryType:
			dashes++
		}
		if brackets+dashes > nestingMax {
			return t
		}
	}
	return nil
}

// tooMany finds the first token above what the parser reads quickly: its time grows with the square of the keys of one
// mapping, and of the documents. A valid file has one document, and not more keys than expandedNodesMax.
func tooMany(tokens token.Tokens) (message string, at *token.Token) {
	var marked, keys, documents int // a key has a mark before it, "? ", or one behind it, ":", or both
	for _, t := range tokens {
		switch t.Type {
		case token.MappingKeyType:
			marked++
		case token.MappingValueType:
			keys++
		case token.DocumentHeaderType, token.DocumentEndType:
			documents++
		}
		switch {
		case max(marked, keys) > expandedNodesMax:
			return fmt.Sprintf("more than %d keys", expandedNodesMax), t
		case documents > documentsMax:
			return "several documents, expected one bot a file", t
		}
	}
	return "", nil
}

// tooLong finds the first token above what the parser keeps as paths: each value has the keys that contain it.
func tooLong(tokens token.Tokens) *token.Token {
	type key struct{ column, bytes int }
	var open []key  // the keys that contain the token
	var flows []int // for each open bracket, the number of keys that contain it
	path, total := 0, 0
	cut := func(keys int) {
		for ; len(open) > keys; open = open[:len(open)-1] {
			path -= open[len(open)-1].bytes
		}
	}
	for i, t := range tokens {
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flows = append(flows, len(open))
		case token.SequenceEndType, token.MappingEndType:
			if len(flows) > 0 {
				cut(flows[len(flows)-1])
				flows = flows[:len(flows)-1]
			}
		case token.MappingValueType:
			if i == 0 {
				continue // a syntax error
			}
			name := tokens[i-1]
			if len(flows) > 0 {
				cut(flows[len(flows)-1]) // the key before it in the same brackets
			}
			for len(flows) == 0 && len(open) > 0 && open[len(open)-1].column >= name.Position.Column {
				cut(len(open) - 1)
			}
			open = append(open, key{name.Position.Column, len(name.Value) + 1})
			path += len(name.Value) + 1
			total += path
		case token.SequenceEntryType, token.CollectEntryType:
			total += path
		}
		if total > pathBytesMax {
			return t
		}
	}
	return nil
}
