package jq

import (
	"reflect"

	"github.com/itchyny/gojq"
)

// uses reports whether a program calls a function, or names a variable, that it does not define itself.
func uses(query *gojq.Query, name string) bool {
	found := false
	walk(reflect.ValueOf(query), func(node any) {
		if f, ok := node.(*gojq.Func); ok && f.Name == name && !defines(query, name) {
			found = true
		}
	})
	return found
}

func defines(query *gojq.Query, name string) bool {
	found := false
	walk(reflect.ValueOf(query), func(node any) {
		if d, ok := node.(*gojq.FuncDef); ok && d.Name == name {
			found = true
		}
	})
	return found
}

// walk visits every node of a program. Its syntax tree has some twenty types; what matters here are two of them.
func walk(v reflect.Value, visit func(node any)) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			visit(v.Interface())
			walk(v.Elem(), visit)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				walk(v.Field(i), visit)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			walk(v.Index(i), visit)
		}
	}
}
