package arch

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// nested is the module that may use everything and that nothing may use: it carries the Temporal server.
const nested = "devstack"

// restricted are packages that only the listed packages may import, whatever else the table allows.
var restricted = map[string][]string{
	"internal/app":  {"internal/cli", "worker", "starter"},
	"internal/cli":  {"worker", "starter"},
	"internal/arch": nil,
	"worker":        nil,
	"starter":       nil,
}

// testKit is the suffix of packages with conformance suites and other test helpers.
const testKit = "test"

// importFaults returns one sentence for every import that the table forbids.
func importFaults(tree []source) []string {
	var faults []string
	for _, s := range tree {
		if within(s.pkg, nested) {
			continue
		}
		for _, imported := range s.imports {
			target, ours := strings.CutPrefix(imported, module+"/")
			if !ours || target == s.pkg {
				continue
			}
			if reason := forbids(s, target); reason != "" {
				faults = append(faults, fmt.Sprintf("%s imports %s: %s", s.path, target, reason))
			}
		}
	}
	slices.Sort(faults)
	return faults
}

// forbids returns the reason why a file may not import a package of this module, or "".
func forbids(s source, target string) string {
	switch {
	case within(target, nested):
		return "devstack is a module of its own; importing it would add the Temporal server to the product"
	case s.pkg == "workflows" && target == "activities", s.pkg == "activities" && target == "workflows":
		return "workflows and activities meet only in internal/step, by name, so that neither imports the other"
	case s.test:
		return "" // tests may import any package; the compiler still forbids cycles
	}
	if strings.HasSuffix(target, testKit) && !strings.HasSuffix(s.pkg, testKit) {
		return "a package named …test helps tests and must not reach a binary"
	}
	own, known := rowOf(s.pkg)
	if !known {
		return "the import table does not have a row for this package (internal/arch/importtable_test.go, docs/architecture.md): " +
			"add one with a sentence, or move the code into another package"
	}
	if importers, found := restricted[target]; found && !slices.Contains(importers, s.pkg) {
		return fmt.Sprintf("only %s may import it", orNothing(importers))
	}
	if !slices.Equal(own.may, anything) && !matches(own.may, target) {
		return fmt.Sprintf("%q is %s; of this module it may import %s", s.pkg, own.promise, orNothing(own.may))
	}
	return ""
}

// rowOf returns the row of a package: its own, or the row for the children of its parent.
func rowOf(name string) (row, bool) {
	if own, ok := importTable[name]; ok {
		return own, true
	}
	shared, ok := importTable[path.Dir(name)+"/*"]
	return shared, ok
}

func matches(allowed []string, target string) bool {
	return slices.Contains(allowed, target) || slices.Contains(allowed, path.Dir(target)+"/*")
}

func within(name, parent string) bool { return name == parent || strings.HasPrefix(name, parent+"/") }

func orNothing(packages []string) string {
	if len(packages) == 0 {
		return "nothing"
	}
	return strings.Join(packages, ", ")
}

func TestImports_FollowTable(t *testing.T) {
	t.Parallel()
	report(t, importFaults(readTree(t)))
}

func TestImports_EveryPackageHasARow(t *testing.T) {
	t.Parallel()
	for _, s := range readTree(t) {
		if within(s.pkg, nested) || s.test {
			continue
		}
		_, known := rowOf(s.pkg)
		require.True(t, known, "%s: the import table does not have a row for package %s", s.path, s.pkg)
	}
}

func TestImports_CanFail(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ file, imports, reason string }{
		"a dialect imports another":              {"internal/dialect/plain/a.go", "internal/dialect/haptik", "no I/O"},
		"a leaf imports a package below it":      {"internal/fault/a.go", "internal/egress", "may import nothing"},
		"a test of workflows imports activities": {"workflows/a_test.go", "activities", "internal/step"},
		"a test kit ships":                       {"activities/a.go", "internal/dialect/dialecttest", "helps tests"},
		"a workflow performs I/O":                {"workflows/a.go", "internal/egress", "deterministic"},
		"an unknown package":                     {"internal/misc/a.go", "schemas", "not have a row"},
		"devstack is imported":                   {"internal/app/a_test.go", "devstack/stack", "module of its own"},
		"main does work":                         {"starter/main.go", "internal/bus", "may import internal/app"},
		"wiring is reused":                       {"internal/gateway/a.go", "internal/app", "only internal/cli"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := fmt.Sprintf("package a\n\nimport _ %q\n", module+"/"+c.imports)
			faults := importFaults(parseAll(t, map[string]string{c.file: text}))
			require.Len(t, faults, 1)
			require.Contains(t, faults[0], c.reason)
		})
	}
}
