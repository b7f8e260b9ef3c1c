package arch

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// nameFaults returns one sentence for every test whose name does not begin with the unit that it tests: TestUnit_Case, or
// TestUnit, where the unit is what the package declares, the package itself or the file.
func nameFaults(tree []source) []string {
	declared := map[string]map[string]bool{}
	for _, s := range tree {
		if declared[s.pkg] == nil {
			declared[s.pkg] = map[string]bool{unit(path.Base(s.pkg)): true}
		}
		for _, name := range declarations(s.ast) {
			declared[s.pkg][unit(name)] = true
		}
	}
	var faults []string
	for _, s := range tree {
		if !s.test {
			continue
		}
		for _, decl := range s.ast.Decls {
			f, isFunc := decl.(*ast.FuncDecl)
			if !isFunc || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Test") || f.Name.Name == "TestMain" {
				continue
			}
			name := strings.TrimPrefix(f.Name.Name, "Test")
			file := unit(strings.TrimSuffix(path.Base(s.path), "_test.go"))
			if strings.Contains(name, "_") || declared[s.pkg][unit(name)] || unit(name) == file {
				continue
			}
			faults = append(faults, fmt.Sprintf("%s: rename %s to Test<Unit>_<Case>", s.path, f.Name.Name))
		}
	}
	slices.Sort(faults)
	return faults
}

// unit returns a name as units are compared.
func unit(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

// declarations returns the names of functions, methods, types, variables and constants of a file, tests excepted.
func declarations(file *ast.File) []string {
	var names []string
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if !strings.HasPrefix(d.Name.Name, "Test") {
				names = append(names, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch v := spec.(type) {
				case *ast.TypeSpec:
					names = append(names, v.Name.Name)
				case *ast.ValueSpec:
					for _, name := range v.Names {
						names = append(names, name.Name)
					}
				}
			}
		}
	}
	return names
}

func TestNames_Tests(t *testing.T) {
	t.Parallel()
	report(t, nameFaults(readTree(t)))
}

func TestNames_CanFail(t *testing.T) {
	t.Parallel()
	text := "package a\n\ntype Reader struct{}\n\nfunc TestReader() {}\nfunc TestReader_Case() {}\nfunc TestB() {}\n" +
		"func TestAReaderReads() {}\nfunc TestA() {}\nfunc TestMain() {}\n"
	s, err := parse("internal/a/b_test.go", text)
	require.NoError(t, err)
	require.Equal(t, []string{"internal/a/b_test.go: rename TestAReaderReads to Test<Unit>_<Case>"}, nameFaults([]source{s}))
}
