package bot_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
)

// TestProblem_NameOfFile: any text can be the name of a file, and a problem is one line.
func TestProblem_NameOfFile(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"shop.yaml":             "shop.yaml:2:1: $.colour: unknown key",
		"acme/sh\u00f6p x.yaml": "acme/sh\u00f6p x.yaml:2:1: $.colour: unknown key",
		"a\nb.yaml: fine":       `"a\nb.yaml: fine":2:1: $.colour: unknown key`,
		"a\x1b[2J.yaml":         `"a\x1b[2J.yaml":2:1: $.colour: unknown key`,
		"a\u202e.yaml":          `"a\u202e.yaml":2:1: $.colour: unknown key`,
		"a\xff.yaml":            `"a\xff.yaml":2:1: $.colour: unknown key`,
	} {
		problem := bot.Problem{File: name, Line: 2, Column: 1, Key: "$.colour", Message: "unknown key"}
		require.Equal(t, want, problem.String())
		require.Equal(t, want, bot.Problems{problem}.Error())
	}
}
