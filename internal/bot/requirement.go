package bot

import (
	"reflect"

	"github.com/goccy/go-yaml/ast"
)

// fileRequirement is one mandatory entity: its name, or a mapping that also asks for a fresh value.
type fileRequirement struct {
	Entity string `yaml:"entity"`
	Fresh  bool   `yaml:"fresh"`
}

func (r *fileRequirement) decodeNode(d *document, path string, n ast.Node) bool {
	if _, isMapping := n.(ast.MapNode); !isMapping {
		return d.decodeScalar(path, n, reflect.ValueOf(&r.Entity).Elem())
	}
	// The plain type has no decodeNode, so that its fields are decoded like those of any other mapping.
	type plain fileRequirement
	ok := d.decode(path, n, reflect.ValueOf((*plain)(r)).Elem())
	if ok && !d.has(path+".entity") {
		d.problem(path+".entity", "is missing")
	}
	return ok
}

// requires checks the mandatory entities of a step. It returns the names of all of them, and of those whose value must come
// from the event that asks for the step or from a later one.
func (c *checker) requires(path string, list []fileRequirement) (names, fresh []string) {
	seen := map[string]bool{}
	for i, r := range list {
		switch at := item(path, i); {
		case r.Entity == "":
			c.once(at, "is empty")
		case seen[r.Entity]:
			c.problem(at, "%s is named twice", quote(r.Entity))
		}
		seen[r.Entity] = true
		names = append(names, r.Entity)
		if r.Fresh {
			fresh = append(fresh, r.Entity)
		}
	}
	return names, fresh
}
