package arch

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// packagesPage is the document with the package table, packagesPart the table in it.
const packagesPage = repoRoot + "/docs/architecture.md"

var packagesPart = regexp.MustCompile(`(?s)<!-- generated: packages -->\n(.*?)<!-- end -->`)

// packageTable returns the import table for readers: a package stands below those that it imports.
func packageTable(table map[string]row) string {
	var out strings.Builder
	out.WriteString("| package | one line | of this module it may import |\n| --- | --- | --- |\n")
	for _, name := range inOrder(table) {
		own := table[name]
		fmt.Fprintf(&out, "| %s | %s | %s |\n", codeOf(name), own.promise, listOf(own.may))
	}
	out.WriteString("| `devstack` | a separate module: embedded servers, sample endpoint, end-to-end tests, benchmarks | all |\n")
	return out.String()
}

// inOrder sorts packages so that each stands below those that it may import; among equals by name.
func inOrder(table map[string]row) []string {
	rest := make([]string, 0, len(table))
	for name := range table {
		rest = append(rest, name)
	}
	slices.Sort(rest)
	var done []string
	for len(rest) > 0 {
		at := slices.IndexFunc(rest, func(name string) bool { return !slices.ContainsFunc(rest, imports(table[name], name)) })
		if at < 0 { // packages that may import anything
			return append(done, rest...)
		}
		done = append(done, rest[at])
		rest = slices.Delete(rest, at, at+1)
	}
	return done
}

// imports returns a predicate: reports whether the row of a package allows it to import another.
func imports(own row, name string) func(other string) bool {
	return func(other string) bool {
		if other == name {
			return false
		}
		return slices.Equal(own.may, anything) && !slices.Equal(importTable[other].may, anything) || slices.Contains(own.may, other)
	}
}

func codeOf(name string) string { return "`" + name + "`" }

func listOf(packages []string) string {
	switch {
	case len(packages) == 0:
		return ""
	case slices.Equal(packages, anything):
		return "all"
	}
	var short []string
	for _, name := range packages {
		short = append(short, codeOf(strings.TrimPrefix(name, "internal/")))
	}
	return strings.Join(short, ", ")
}

func TestPackages_Documented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(packagesPage)
	require.NoError(t, err)
	place := packagesPart.FindSubmatchIndex(text)
	require.NotNil(t, place, "%s does not have the generated part", packagesPage)
	want := bytes.Join([][]byte{text[:place[2]], []byte(packageTable(importTable)), text[place[3]:]}, nil)
	if *update {
		require.NoError(t, os.WriteFile(packagesPage, want, 0o600))
		return
	}
	require.Equal(t, string(want), string(text), "run go generate ./internal/arch")
}

func TestPackages_Order(t *testing.T) {
	t.Parallel()
	order := inOrder(importTable)
	require.Len(t, order, len(importTable))
	for i, name := range order {
		for _, below := range order[i+1:] {
			require.NotContains(t, importTable[name].may, below, "%s stands above %s", name, below)
		}
	}
}
