package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// phrase is a wording that the rules of CONTRIBUTING ("Words") replace.
type phrase struct {
	wording *regexp.Regexp
	instead string
}

// forbidden are the phrases of rules 1, 2, 3 and 7, and the private words that have a standard one.
var forbidden = []phrase{
	{anyOf(`whoever|nobody|somebody|no one|someone`), "a component as the subject"},
	{anyOf(`says|tells|told|hears|heard`), `"reports whether", "returns", "publishes", "receives"`},
	{regexp.MustCompile(`^(\w+ gives|New\w* makes) `), `"returns", "returns a new"`},
	{anyOf(`(is|are) (no|none)`), `"is not a", "invalid X, expected Y"`},
	{anyOf(`has not`), `"does not have", "was not"`},
	{anyOf(`at night|in earnest|to be had|of one mind|mend|mends|mended|mending|anew|a word at|goes away by itself|to its end`), "plain words"},
	{anyOf(`time-outs?|call back is|call backs|web socket|take-over|licence is`), "timeout, callback, WebSocket, takeover, license"},
	{anyOf(`verdicts?`), "outcome; the metric label is result"},
	{anyOf(`lanes?`), "per-conversation queue, turn"},
	{anyOf(`doors?`), "gateway, egress proxy, egress client"},
	{anyOf(`failure words?`), "error code"},
	{anyOf(`seals?|sealed|sealer`), "sign, signer"},
	{anyOf(`bury|buries|buried|nudge|nudges`), "write a dead letter; recheck"},
	{anyOf(`house rules?|rooms`), "layout, package, import rules"},
}

func anyOf(wordings string) *regexp.Regexp { return regexp.MustCompile(`(?i)\b(?:` + wordings + `)\b`) }

// allowed are the ordinary uses of words that are forbidden elsewhere.
var allowed = regexp.MustCompile(`(?i)\bthere (is|are) (no|none)\b|\bhas not been\b|\bno one of\b`)

// exceptions are texts that hold a forbidden phrase with a reason: a part of the text, and why it stays.
var exceptions = map[string]string{
	"internal/arch/phrases_test.go":       "the list itself",
	"internal/arch/phrases_files_test.go": "faults for its own test",
	"CHANGELOG.md":                        "history keeps its words below the latest release",
}

// text is a piece of prose and where it is.
type text struct {
	place, words string
}

// proseOf returns the comments, the string literals and the names of tests of a Go file.
func proseOf(s source, files *token.FileSet) []text {
	var all []text
	at := func(pos token.Pos) string { return fmt.Sprintf("%s:%d", s.path, files.Position(pos).Line) }
	for _, group := range s.ast.Comments {
		all = append(all, text{at(group.Pos()), group.Text()})
	}
	ast.Inspect(s.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.Field:
			n.Tag = nil
		case *ast.FuncDecl:
			if strings.HasPrefix(n.Name.Name, "Test") {
				all = append(all, text{at(n.Pos()), inWords(n.Name.Name)})
			}
		case *ast.BasicLit:
			if n.Kind == token.STRING {
				if value, err := strconv.Unquote(n.Value); err == nil {
					all = append(all, text{at(n.Pos()), value})
				}
			}
		}
		return true
	})
	return all
}

var capital = regexp.MustCompile(`([a-z0-9])([A-Z])`)

// inWords returns a name in camel case as words.
func inWords(name string) string {
	return strings.ToLower(capital.ReplaceAllString(strings.ReplaceAll(name, "_", " "), "$1 $2"))
}

var code = regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")

// documents returns the prose of the Markdown files, line by line, without their code.
func documents(t *testing.T) []text {
	t.Helper()
	var all []text
	err := filepath.WalkDir(repoRoot, func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && file != repoRoot:
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(file, ".md"):
			return nil
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(repoRoot, file)
		prose := code.ReplaceAllStringFunc(string(raw), func(block string) string { return strings.Repeat("\n", strings.Count(block, "\n")) })
		for n, line := range strings.Split(prose, "\n") {
			all = append(all, text{fmt.Sprintf("%s:%d", filepath.ToSlash(relative), n+1), line})
		}
		return err
	})
	require.NoError(t, err)
	return all
}

// wordFaults returns one sentence for every forbidden phrase.
func wordFaults(texts []text) []string { return faultsOf(texts, forbidden) }

// faultsOf returns one sentence for every one of the phrases.
func faultsOf(texts []text, phrases []phrase) []string {
	var faults []string
	for _, t := range texts {
		file, _, _ := strings.Cut(t.place, ":")
		if _, excepted := exceptions[file]; excepted {
			continue
		}
		for _, p := range phrases {
			if found := p.wording.FindString(allowed.ReplaceAllString(t.words, "")); found != "" {
				faults = append(faults, fmt.Sprintf("%s: %q: write %s", t.place, found, p.instead))
			}
		}
	}
	return faults
}

// TestWords_Plain holds the phrases that CONTRIBUTING forbids against comments, string literals, names of tests and
// documents.
func TestWords_Plain(t *testing.T) {
	t.Parallel()
	texts := documents(t)
	for _, s := range readTree(t) {
		if !s.generated() {
			texts = append(texts, proseOf(s, s.files)...)
		}
	}
	require.Greater(t, len(texts), 1000)
	report(t, wordFaults(texts))
}

func TestWords_CanFail(t *testing.T) {
	t.Parallel()
	for _, words := range []string{"valid says whether", "Of gives the fault", "it is no X", "has not ended", "nobody reads it", "the verdict"} {
		require.NotEmpty(t, wordFaults([]text{{"x.go:1", words}}), words)
	}
	require.Empty(t, wordFaults([]text{{"x.go:1", "valid reports whether the token is valid"}}))
}
