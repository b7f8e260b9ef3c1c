package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	module   = "github.com/hookturn/hookturn"
	repoRoot = "../.."
)

// source is one parsed Go file.
type source struct {
	path    string // relative to the root of the repository, with slashes
	pkg     string // the directory, which is the package's name in the import table
	test    bool
	lines   int
	imports []string
	ast     *ast.File
	files   *token.FileSet
}

// generated reports whether a program wrote the file.
func (s source) generated() bool { return ast.IsGenerated(s.ast) }

// localName returns the name of an imported package in the file, or "" when the file does not import it.
func (s source) localName(importPath string) string {
	for _, spec := range s.ast.Imports {
		if importOf(spec) != importPath {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(importPath)
	}
	return ""
}

// readTree parses every Go file of the product and of devstack. The tools module does not contain code of the product.
func readTree(t *testing.T) []source {
	t.Helper()
	var tree []source
	err := filepath.WalkDir(repoRoot, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			hidden := strings.HasPrefix(name, ".") && file != repoRoot
			if hidden || name == "testdata" || name == "bin" || name == "tools" {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(repoRoot, file)
		if err != nil {
			return err
		}
		s, err := parse(filepath.ToSlash(relative), string(text))
		tree = append(tree, s)
		return err
	})
	require.NoError(t, err, "reading the source tree")
	require.NotEmpty(t, tree, "no Go files found: is repoRoot still right?")
	return tree
}

// parse parses one file. Tests of the rules call it with texts of their own.
func parse(name, text string) (source, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return source{}, err
	}
	s := source{
		path:  name,
		pkg:   path.Dir(name),
		test:  strings.HasSuffix(name, "_test.go"),
		lines: strings.Count(text, "\n"),
		ast:   file,
		files: files,
	}
	for _, spec := range file.Imports {
		s.imports = append(s.imports, importOf(spec))
	}
	return s, nil
}

func importOf(spec *ast.ImportSpec) string {
	value, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value
	}
	return value
}

// parseAll parses texts into a tree, for tests that show that a rule can fail.
func parseAll(t *testing.T, files map[string]string) []source {
	t.Helper()
	var tree []source
	for name, text := range files {
		s, err := parse(name, text)
		require.NoError(t, err, name)
		tree = append(tree, s)
	}
	return tree
}

// report fails once for each sentence, so that one run shows all problems.
func report(t *testing.T, faults []string) {
	t.Helper()
	for _, fault := range faults {
		t.Error(fault)
	}
}
