package bot_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
)

// lines returns count lines, each with its number in place of %d.
func lines(count int, format string) string {
	var b strings.Builder
	for i := range count {
		fmt.Fprintf(&b, format+"\n", i)
	}
	return b.String()
}

// TestLoad_CostBounded: what costs more than its size is rejected before it is read.
func TestLoad_CostBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("k", 100<<10)
	for name, c := range map[string]struct{ text, want string }{
		"long key above unknown keys": {
			"bot: a\nsteps:\n  " + long + ":\n" + lines(8000, "    a%d: 1"), "keys that are too long for what they contain",
		},
		"long key above empty values": {
			"bot: a\nenv_variables: {" + long + ": [" + strings.Repeat("~,", 50<<10) + "]}\n",
			"keys that are too long for what they contain",
		},
		"long keys in brackets": {
			"bot: a\nsteps: {" + long + ": {" + strings.ReplaceAll(lines(8000, "a%d: 1,"), "\n", "") + "}}\n",
			"keys that are too long for what they contain",
		},
		"keys":              {"bot: a\n" + strings.Repeat("a: 1\n", 40_000), "more than 20000 keys"},
		"keys with a mark":  {"bot: a\n" + strings.Repeat("? a\n", 40_000), "more than 20000 keys"},
		"documents":         {"bot: a\n" + strings.Repeat("---\na\n", 20_000), "several documents, expected one bot a file"},
		"ends of documents": {"bot: a\n" + strings.Repeat("...\na\n", 20_000), "several documents, expected one bot a file"},
		"host outside of ASCII": {
			"bot: a\nbase_urls: {test: \"https://" + strings.Repeat("\u00e9", 600) + "/\"}\n",
			"has a host that is not a domain name",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, map[string]string{"a.yaml": c.text})
			var problems bot.Problems
			require.ErrorAs(t, err, &problems)
			require.Contains(t, problems[0].Message, c.want)
			require.Less(t, len(problems[0].Message), 200)
			require.LessOrEqual(t, len(problems[0].Key), 512)
		})
	}
}

// TestLoad_LongKeysAboveFewValues: only the product of both is bounded.
func TestLoad_LongKeysAboveFewValues(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("K", 20<<10)
	_, err := load(t, map[string]string{"a.yaml": "bot: a\nenv_variables:\n  test:\n    " + long + ": \"1\"\n" +
		"    " + long + "2: \"2\"\n" + lines(1000, "    A%d: \"1\"") +
		"steps: {X: {webhook: {url: \"https://h.example/\"}}}\n"})
	require.NoError(t, err)
}

// TestLoad_LongKeysAboveAliases: a path counts as often as an alias repeats what is below it.
func TestLoad_LongKeysAboveAliases(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("k", 4<<10)
	_, err := load(t, map[string]string{
		"a.yaml": "bot: a\nsteps:\n  " + long + ":\n    requires: &a\n" + lines(90, "    - a%d") +
			lines(20, "  "+long+"%d: {requires: *a}"),
	})
	require.ErrorContains(t, err, "the file expands to more than 2097152 bytes: use shorter keys or fewer aliases")
}

// TestLoad_LongKeyInProblems: each problem is a line of the log, and each of a hundred lines has the path.
func TestLoad_LongKeyInProblems(t *testing.T) {
	t.Parallel()
	_, err := load(t, map[string]string{
		"a.yaml": "bot: a\nsteps:\n  " + strings.Repeat("k", 10<<10) + ":\n" + lines(110, "    a%d: 1"),
	})
	var problems bot.Problems
	require.ErrorAs(t, err, &problems)
	require.Len(t, problems, 101)
	for _, problem := range problems {
		require.LessOrEqual(t, len(problem.Key), 512)
	}
	require.Regexp(t, `^\$\.steps\.k+\.\.\.k+\.a\d+$`, problems[1].Key)
}

// TestLoad_SameTokenInManyChannels: the problems of a file are bounded, also those that only all files together show.
func TestLoad_SameTokenInManyChannels(t *testing.T) {
	t.Parallel()
	_, err := load(t, map[string]string{
		"a.yaml": "bot: a\nsecrets: {t: {env: TOKEN}}\nchannels:\n" + lines(2000, "- {code: c%d, type: public, token_local: t}"),
	}, func(o *bot.Options) {
		o.LookupEnv = func(string) (string, bool) { return strings.Repeat("t", 32), true }
	})
	var problems bot.Problems
	require.ErrorAs(t, err, &problems)
	require.LessOrEqual(t, len(problems), 101)
	require.Contains(t, problems[0].Message, "opens channel c0 of bot a already")
}

// TestLoad_ComparisonsBounded: an unknown name is compared with the known ones only for a problem that is listed.
func TestLoad_ComparisonsBounded(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"secrets":       "channels:\n" + lines(300, "- {code: c%d, type: public, token_local: absent}"),
		"channel types": "channels:\n" + lines(300, "- {code: c%d, type: absent}"),
		"scripts":       "channels:\n" + lines(300, "- {code: c%d, type: public, recv_svcscriptcode: absent}"),
		"values":        "steps:\n" + lines(300, "  S%d: {webhook: {url: \"https://h.example/\", execution: absent}}"),
		"keys":          "steps:\n" + lines(300, "  S%d: {webhook: {url: \"https://h.example/\", absent: 1}}"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var comparisons atomic.Int32
			_, err := load(t, map[string]string{"a.yaml": "bot: a\n" + text}, func(o *bot.Options) {
				o.CountComparisons(&comparisons)
			})
			var problems bot.Problems
			require.ErrorAs(t, err, &problems)
			require.Len(t, problems, 101)
			require.EqualValues(t, 100, comparisons.Load())
		})
	}
}

// TestLoad_ExcessValuesOfSecret: each use of a secret checks its values, so those above the limit are not read.
func TestLoad_ExcessValuesOfSecret(t *testing.T) {
	t.Parallel()
	var read atomic.Int32
	_, err := load(t, map[string]string{"a.yaml": "bot: a\nsecrets:\n  s:\n" + lines(300, "  - {env: S%d}")}, func(o *bot.Options) {
		o.LookupEnv = func(string) (string, bool) { read.Add(1); return "hunter2", true }
	})
	require.ErrorContains(t, err, "has 300 values: at most 8 can be valid at a time")
	require.EqualValues(t, 8, read.Load())
}

// TestLoad_SharedPartsCheckedOnce: by an alias, many steps have one program, and one script by its name.
func TestLoad_SharedPartsCheckedOnce(t *testing.T) {
	t.Parallel()
	var programs atomic.Int32
	_, err := load(t, map[string]string{
		"a.yaml": "bot: a\nsteps:\n  first: {webhook: {dialect: plain, url: \"https://h.example/\", request: &p \".\"}}\n" +
			lines(100, "  s%d: {webhook: {dialect: plain, url: \"https://h.example/\", request: *p}}"),
	}, func(o *bot.Options) {
		o.CheckProgram = func(string) error { programs.Add(1); return errors.New("is wrong") }
	})
	var problems bot.Problems
	require.ErrorAs(t, err, &problems)
	require.Len(t, problems, 101, "each step has the problem")
	require.Equal(t, int32(1), programs.Load())
}

// TestLoad_AbandonedStops: a load that was abandoned checks nothing more, whatever it was checking.
func TestLoad_AbandonedStops(t *testing.T) {
	t.Parallel()
	const first, second = "first", "second"
	sum := strings.Repeat("0", 64)
	for name, c := range map[string]struct {
		text string
		hook func(o *bot.Options, check func(string) error)
	}{
		"programs": {
			"steps: {X: {webhook: {dialect: plain, url: \"https://h.example/\", request: first, response: second}}}\n",
			func(o *bot.Options, check func(string) error) { o.CheckProgram = check },
		},
		"packages": {
			"packages: [{wheel: first-1-py3-none-any.whl, sha256: \"" + sum + "\"}, {wheel: second-1-py3-none-any.whl, " +
				"sha256: \"" + sum + "\"}]\n",
			func(o *bot.Options, check func(string) error) {
				o.CheckPackage = func(wheel, _ string) error { return check(strings.TrimSuffix(wheel, "-1-py3-none-any.whl")) }
			},
		},
		"secrets": {
			"secrets: {a: {env: HOOKTURN_SECRET_DEFAULT_a}, b: {env: HOOKTURN_SECRET_DEFAULT_b}}\n",
			func(o *bot.Options, check func(string) error) {
				var asked atomic.Bool
				o.FreeSecrets = true
				o.LookupEnv = func(string) (string, bool) {
					if asked.Swap(true) {
						return "x", check(second) == nil
					}
					return "x", check(first) == nil
				}
			},
		},
		"adapters": {
			"adapters:\n  a: {account: a, message_endpoint: {url: \"https://first.example/\"}}\n" +
				"  b: {account: b, message_endpoint: {url: \"https://second.example/\"}}\n",
			func(o *bot.Options, check func(string) error) {
				o.CheckURL = func(url string) error {
					return check(strings.TrimSuffix(strings.TrimPrefix(url, "https://"), ".example/"))
				}
			},
		},
		"channels": {
			"channels:\n- {code: a, type: public, url: \"https://first.example/\"}\n" +
				"- {code: b, type: public, url: \"https://second.example/\"}\n",
			func(o *bot.Options, check func(string) error) {
				o.CheckURL = func(url string) error {
					return check(strings.TrimSuffix(strings.TrimPrefix(url, "https://"), ".example/"))
				}
			},
		},
		"channel types": {
			"channel_types:\n- {type: a, url: \"https://first.example/\"}\n- {type: b, url: \"https://second.example/\"}\n",
			func(o *bot.Options, check func(string) error) {
				o.CheckURL = func(url string) error {
					return check(strings.TrimSuffix(strings.TrimPrefix(url, "https://"), ".example/"))
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := directory(t, map[string]string{"a.yaml": "bot: a\n" + c.text})
			synctest.Test(t, func(t *testing.T) {
				hang := make(chan struct{})
				var checked []string
				o := testOptions()
				c.hook(&o, func(what string) error {
					checked = append(checked, what)
					if len(checked) == 1 {
						<-hang
					}
					return nil
				})
				_, err := bot.Load(dir, o)
				require.ErrorContains(t, err, "the load was abandoned")
				close(hang)
				synctest.Wait()
				require.Equal(t, []string{first}, checked)
			})
		})
	}
}
