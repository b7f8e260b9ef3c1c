package jq

import (
	"reflect"

	"github.com/itchyny/gojq"
)

// names are the functions and variables of a program.
type names struct {
	used, defined map[string]bool
	visited       int // nodes
}

// namesOf returns the names in a program. It visits each node once: programs are checked in processes whose time is not
// limited.
func namesOf(query *gojq.Query) *names {
	n := &names{used: map[string]bool{}, defined: map[string]bool{}}
	n.walk(reflect.ValueOf(query))
	return n
}

// foreign reports whether a program calls a function, or names a variable, that it does not define itself.
func (n *names) foreign(name string) bool { return n.used[name] && !n.defined[name] }

// walk visits every node of a program. Its syntax tree has some twenty types; what matters here are two of them.
func (n *names) walk(v reflect.Value) {
	n.visited++
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return
		}
		switch node := v.Interface().(type) {
		case *gojq.Func:
			n.used[node.Name] = true
		case *gojq.FuncDef:
			n.defined[node.Name] = true
		}
		n.walk(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				n.walk(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			n.walk(v.Index(i))
		}
	}
}
