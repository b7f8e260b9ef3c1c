package bot_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
)

// nested returns lines of anchors, each of which holds the one before it ten times.
func nested(levels int, list string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  a0: &a0 %s\n", list)
	for i := 1; i <= levels; i++ {
		fmt.Fprintf(&b, "  a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	return b.String()
}

// chain returns lines of anchors, each of which holds the one before it once.
func chain(levels int) string {
	var b strings.Builder
	b.WriteString("  a0: &a0 [x]\n")
	for i := 1; i <= levels; i++ {
		fmt.Fprintf(&b, "  a%d: &a%d [*a%d]\n", i, i, i-1)
	}
	return b.String()
}

func TestExpansion_Bounded(t *testing.T) {
	t.Parallel()

	const head = "bot: a\nsteps: {X: {webhook: {url: \"https://h.example/\"}}}\nchannels:\n- code: c\n  type: public\n  ext:\n"
	indent := func(lines string) string { return strings.ReplaceAll(lines, "  a", "    a") }
	tests := map[string]struct{ text, want string }{
		"a billion values":    {head + indent(nested(9, "[x]")), "expands to more than 20000 values"},
		"a gigabyte":          {head + indent(nested(3, "\""+strings.Repeat("x", 100<<10)+"\"")), "expands to more than 2097152 bytes"},
		"a chain":             {head + indent(chain(500)), "is nested deeper than 100 levels, aliases included"},
		"a value of itself":   {head + "    a: &a [*a, *a]\n", "is nested deeper than 100 levels, aliases included"},
		"a mapping of itself": {head + "    a: &a {b: *a, c: *a}\n", "is nested deeper than 100 levels, aliases included"},
		"steps": {
			"bot: a\nenv_variables: {test: &e {" + fields(1000) + "}}\nsteps:\n" + steps(300), "expands to more than 20000 values",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, map[string]string{"a.yaml": test.text})
			var problems bot.Problems
			require.ErrorAs(t, err, &problems)
			require.Len(t, problems, 1, "the file is read no further")
			require.Contains(t, problems[0].Message, test.want)
		})
	}
}

func fields(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("E%d: x", i)
	}
	return strings.Join(list, ", ")
}

// steps returns steps that all have the headers of the first.
func steps(n int) string {
	var text strings.Builder
	text.WriteString("  S0: {webhook: {url: \"https://h.example/\", headers: &h {" + strings.ReplaceAll(fields(100), "E", "X-") + "}}}\n")
	for i := 1; i < n; i++ {
		fmt.Fprintf(&text, "  S%d: {webhook: {url: \"https://h.example/\", headers: *h}}\n", i)
	}
	return text.String()
}

func TestProblems_Bounded(t *testing.T) {
	t.Parallel()
	_, err := load(t, map[string]string{"a.yaml": "bot: a\n" + strings.ReplaceAll(fields(5000), ", ", "\n") + "\n"})
	var problems bot.Problems
	require.ErrorAs(t, err, &problems)
	require.Len(t, problems, 101)
	require.Equal(t, "a.yaml: has more problems, which are not listed", problems[0].String())
}
