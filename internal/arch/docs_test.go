package arch

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
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

func TestDocs_LinksCanFail(t *testing.T) {
	t.Parallel()
	text := "[here](docs_test.go#L1) [there](nowhere.md) [web](https://example.com/x) [top](#top)"
	require.Len(t, deadLinks("docs.md", text), 1)
}
