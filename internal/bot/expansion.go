package bot

import "github.com/goccy/go-yaml/ast"

// Bounds of what a file may expand to. Aliases repeat what their anchors hold, so the size of the file bounds nothing: ten
// lines of anchors can mean a million values. The bounds are far above what a bot file needs.
const (
	expandedNodesMax = 20_000  // keys and values, each counted as often as it is used
	expandedBytesMax = 2 << 20 // of key paths and scalars
	expandedDepthMax = 100     // levels, those inside of aliases included
)

// expansion counts what the decoder has visited.
type expansion struct {
	nodes, bytes, depth int
	exceeded            bool
}

// enter counts one visit of a node. It returns false when the file expands to more than is allowed, or when its reading was
// abandoned: the decoder then stops everywhere. Each enter that returns true needs a leave.
func (d *document) enter(path string, n ast.Node) bool {
	e := &d.expanded
	if e.exceeded {
		return false
	}
	e.nodes++
	if text, isText := stringOf(n); isText {
		e.bytes += len(text)
	}
	switch {
	case e.nodes > expandedNodesMax:
		d.exceeds(path, "the file expands to more than %d values: use fewer aliases", expandedNodesMax)
	case e.bytes > expandedBytesMax:
		d.exceeds(path, "the file expands to more than %d bytes: use shorter keys or fewer aliases", expandedBytesMax)
	case e.depth >= expandedDepthMax:
		d.exceeds(path, "is nested deeper than %d levels, aliases included", expandedDepthMax)
	case e.nodes%100 == 0 && d.abandoned():
		e.exceeded = true
	}
	if e.exceeded {
		return false
	}
	e.depth++
	return true
}

// spell counts the bytes of a key path before it is made: a file can make paths as long as a key, and has one for each value
// below the key. It returns false when the file expands to more than is allowed.
func (d *document) spell(parent, name string) bool {
	e := &d.expanded
	if e.exceeded {
		return false
	}
	if e.bytes += len(parent) + len(name) + 1; e.bytes > expandedBytesMax {
		d.exceeds(parent, "the file expands to more than %d bytes: use shorter keys or fewer aliases", expandedBytesMax)
	}
	return !e.exceeded
}

func (d *document) leave() { d.expanded.depth-- }

func (d *document) exceeds(path, format string, args ...any) {
	d.expanded.exceeded = true
	d.problem(path, format, args...)
}
