package arch

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
)

// link finds the target of a Markdown link or image.
var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// deadLinks returns one sentence for every link to a file that does not exist. It does not check external URLs.
func deadLinks(document, text string) []string {
	var faults []string
	for _, found := range link.FindAllStringSubmatch(text, -1) {
		target, _, _ := strings.Cut(found[1], "#")
		if target == "" || strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
			continue
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(document), target)); err != nil {
			faults = append(faults, document+" links to "+found[1]+", which is not there")
		}
	}
	return faults
}

func TestDocs_Links(t *testing.T) {
	t.Parallel()
	documents := 0
	err := filepath.WalkDir(repoRoot, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && file != repoRoot {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(file, ".md") {
			return nil
		}
		documents++
		text, err := os.ReadFile(file)
		report(t, deadLinks(file, string(text)))
		return err
	})
	require.NoError(t, err)
	require.Positive(t, documents)
}

// TestDocs_NamedTests: a document that names a test as the proof of something is wrong when the test is gone.
func TestDocs_NamedTests(t *testing.T) {
	t.Parallel()
	tests, named := map[string]bool{"TestGateway_IdleClientClosed": true}, map[string]string{} // an example of CONTRIBUTING.md
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz)\w+)\(`)
	mentioned := regexp.MustCompile("`((?:Test|Benchmark|Fuzz)[A-Z]\\w*)`")
	err := filepath.WalkDir(repoRoot, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && file != repoRoot {
			return filepath.SkipDir
		}
		document := strings.HasSuffix(file, ".md")
		if entry.IsDir() || !document && !strings.HasSuffix(file, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(file)
		if document {
			for _, found := range mentioned.FindAllStringSubmatch(string(text), -1) {
				named[found[1]] = file
			}
			return err
		}
		for _, found := range declared.FindAllStringSubmatch(string(text), -1) {
			tests[found[1]] = true
		}
		return err
	})
	require.NoError(t, err)
	require.NotEmpty(t, named)
	for name, document := range named {
		require.True(t, tests[name], "%s names %s, which is not there", document, name)
	}
}

func TestDocs_LinksCanFail(t *testing.T) {
	t.Parallel()
	text := "[here](docs_test.go#L1) [there](nowhere.md) [web](https://example.com/x) [top](#top)"
	require.Len(t, deadLinks("docs.md", text), 1)
}

// TestDocs_EveryStore: docs/architecture.md names every stream and bucket, so that an operator finds what is kept where.
func TestDocs_EveryStore(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(repoRoot, "docs/architecture.md"))
	require.NoError(t, err)
	_, state, found := strings.Cut(string(page), "## State\n")
	require.True(t, found)
	for _, size := range bus.Sizes() {
		name := strings.TrimPrefix(strings.TrimPrefix(size.Stream, "KV_"), "OBJ_")
		require.Contains(t, state, "`"+name+"`", "docs/architecture.md, \"State\", lacks what is kept there: %s", size.Content)
	}
}
