package arch

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// proseFile returns which lines of a file that is neither Go nor Markdown are prose: nil when none are.
func proseFile(name string) *regexp.Regexp {
	switch base := path.Base(name); {
	case strings.HasPrefix(name, "docs/"), strings.Contains(name, "/testdata/"), base == "LICENSE", base == "package-lock.json":
		return nil
	case strings.HasPrefix(name, "schemas/json/"), base == "values.schema.json":
		return regexp.MustCompile(`"(?:title|description|\$comment)": "`)
	case strings.HasSuffix(name, ".yaml"), strings.HasSuffix(name, ".yml"), strings.HasSuffix(name, ".tpl"), base == "NOTES.txt":
		return regexp.MustCompile(`.`) // comments, and the values, which are texts of schemas, bots, alerts and linters
	case strings.HasSuffix(name, ".py"):
		return regexp.MustCompile(`#|"""`)
	case strings.HasSuffix(name, ".mjs"), strings.HasSuffix(name, ".ts"):
		return regexp.MustCompile(`//|/\*`)
	case strings.HasSuffix(name, ".conf"), strings.HasSuffix(name, ".sh"), base == "Makefile", base == "Dockerfile",
		strings.HasPrefix(name, ".ci/"):
		return regexp.MustCompile(`#`)
	}
	return nil
}

// namesOf are names in such files that are not prose: subjects, keys, addresses and markup.
var namesOf = regexp.MustCompile(`[\w$/.{}-]*hookturn\.\w[\w.>*{}-]*|https?://\S+|\$ref\S*`)

// filesProse returns the prose of the schemas, of examples and of the files that deploy and build hookturn, line by line.
func filesProse(t *testing.T) []text {
	t.Helper()
	var all []text
	err := filepath.WalkDir(repoRoot, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(repoRoot, file)
		name := filepath.ToSlash(relative)
		if err != nil || entry.IsDir() {
			if strings.HasPrefix(name, ".git") || name == "bin" || name == "dist" || entry.Name() == "node_modules" {
				return filepath.SkipDir
			}
			return err
		}
		lines := proseFile(name)
		if lines == nil {
			return nil
		}
		raw, err := os.ReadFile(file)
		for n, line := range strings.Split(code.ReplaceAllString(string(raw), ""), "\n") {
			if lines.MatchString(line) {
				all = append(all, text{fmt.Sprintf("%s:%d", name, n+1), namesOf.ReplaceAllString(line, "")})
			}
		}
		return err
	})
	require.NoError(t, err)
	return all
}

// spellings are forbidden in what is not Go: there a lower-case name may be an identifier.
var spellings = []phrase{
	{regexp.MustCompile(`\b[Ww]ebsockets?\b`), "WebSocket"},
	{anyOf(`politely|whatever happens`), "plain words"},
	{anyOf(`the administration`), "the admin API"},
}

// TestWords_PlainInSchemasAndDeployment holds the phrases that CONTRIBUTING forbids against schemas, examples, and the files
// that build and deploy hookturn.
func TestWords_PlainInSchemasAndDeployment(t *testing.T) {
	t.Parallel()
	texts := filesProse(t)
	for _, needed := range []string{
		"schemas/openapi.yaml", "schemas/asyncapi.yaml", "schemas/json/event.json", "examples/bots/shop.yaml", "examples/bots/talk.py",
		"docker-compose.yml", "deploy/nats-server.conf", "deploy/helm/hookturn/values.yaml", "deploy/prometheus/hookturn.rules.yaml",
	} {
		require.True(t, contains(texts, needed), "%s is not read", needed)
	}
	report(t, wordFaults(texts))
	report(t, faultsOf(append(texts, documents(t)...), spellings))
}

func contains(texts []text, file string) bool {
	for _, t := range texts {
		if strings.HasPrefix(t.place, file+":") {
			return true
		}
	}
	return false
}

func TestWords_FilesCanFail(t *testing.T) {
	t.Parallel()
	require.NotNil(t, proseFile("schemas/openapi.yaml"))
	require.Nil(t, proseFile("docs/integrators/vectors.json"))
	require.NotEmpty(t, wordFaults([]text{{"schemas/openapi.yaml:1", "kind: {description: A failure word.}"}}))
	require.NotEmpty(t, faultsOf([]text{{"schemas/openapi.yaml:1", "summary: Open a websocket."}}, spellings))
	require.Empty(t, faultsOf([]text{{"schemas/openapi.yaml:1", "summary: Open a WebSocket."}}, spellings))
}
