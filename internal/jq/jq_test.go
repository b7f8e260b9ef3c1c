package jq_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/itchyny/gojq"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/jq"
)

// newPool returns a pool that waits until a busy machine gets to its runs.
func newPool(t *testing.T, processes int) *jq.Pool {
	t.Helper()
	p := jq.NewPool(processes)
	p.Wait, p.Longest = time.Minute, time.Minute
	t.Cleanup(p.Close)
	return p
}

func TestRun(t *testing.T) {
	t.Parallel()
	p := newPool(t, 1)
	for _, c := range []struct{ program, input, want string }{
		{".", `{"b":1.50,"a":"<b>"}`, `{"a":"<b>","b":1.50}`},
		{".", `12345678901234567890`, `12345678901234567890`},
		{"{id: .event.id, n: (.list | length)}", `{"event":{"id":"e1"},"list":[1,2]}`, `{"id":"e1","n":2}`},
		{".missing", `{}`, `null`},
		{`def double: . * 2; map(double)`, `[1,2]`, `[2,4]`},
		{`"\(.name) é 😀"`, `{"name":"Zoë"}`, `"Zoë é 😀"`},
		{"1 + 1", ``, "2"},
	} {
		got, err := p.Run("acme", c.program, []byte(c.input))
		require.NoError(t, err, c.program)
		require.Equal(t, c.want, string(got), c.program)
	}
}

func TestRun_Failures(t *testing.T) {
	t.Parallel()
	p := newPool(t, 1)
	for program, want := range map[string]error{
		"empty":                       jq.ErrNone,
		".[]":                         jq.ErrSeveral,
		".[0].a":                      jq.ErrFailed,
		`error("secret")`:             jq.ErrFailed,
		`1, error("x")`:               jq.ErrFailed,
		"[limit(1000000; repeat(1))]": jq.ErrTooLong,
	} {
		_, err := p.Run("acme", program, []byte(`[1,2]`))
		if want == jq.ErrTooLong && err == jq.ErrTimeout { //nolint:errorlint // either bound may come first on a slow machine
			continue
		}
		require.ErrorIs(t, err, want, program)
		require.NotContains(t, err.Error(), "secret")
	}
}

// bombs are short programs that would take all of a machine's time or memory.
var bombs = []string{
	`def f: f; f`,
	`[range(1000000000)]`,
	`"x" * 2000000000`,
	`[] | .[500000000] = 1`,
	`[limit(1000000000; repeat("x"))]`,
	`reduce range(64) as $i ("x"; . + .)`,
	`reduce range(64) as $i ([]; [., .]) | tojson`,
	`reduce range(64) as $i ([1]; [., .]) | flatten`,
	`reduce range(64) as $i ([1]; [., .]) | . == [.[0], .[1]]`,
	`[range(100000)] as $a | [$a, $a, $a] | combinations | length`,
	`[range(200000) | tostring] | join("x" * 100000)`,
	`reduce range(64) as $i ("x"; "\(.)\(.)")`,
}

func TestRun_ExceededLimits(t *testing.T) {
	t.Parallel()
	p := newPool(t, 1)
	for _, program := range bombs {
		_, err := p.Run("acme", program, []byte(`{}`))
		require.Error(t, err, program)
		got, err := p.Run("acme", ".", []byte(`"still alive"`))
		require.NoError(t, err, program)
		require.Equal(t, `"still alive"`, string(got))
	}
}

func TestPool_Concurrent(t *testing.T) {
	t.Parallel()
	p := newPool(t, 2)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if got, err := p.Run("acme", ".a", []byte(`{"a":7}`)); err != nil || string(got) != "7" {
				t.Errorf("%s %v", got, err)
			}
		})
	}
	wg.Wait()
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for program, want := range map[string]string{
		".":                        "",
		"def now: 1; now":          "",
		"{a: 1,\n b: }":            `line 2, column 5: "}" cannot stand here`,
		"{a: 1":                    "line 1, column 6: the program ends too early",
		"unknown":                  "does not compile: function not defined: unknown/0",
		"$unknown":                 "does not compile: variable not defined: $unknown",
		"now":                      "uses now: a program may depend on its input alone",
		".a | [.[] | {b: now}]":    "uses now: a program may depend on its input alone",
		"env.HOME":                 "uses env: a program may depend on its input alone",
		"$ENV.HOME":                "uses $ENV: a program may depend on its input alone",
		`"\(now)"`:                 "uses now: a program may depend on its input alone",
		"input":                    "does not compile: input(s)/0 is not allowed",
		`import "a" as a; .`:       `does not compile: cannot load module: "a"`,
		strings.Repeat(" ", 16385): "is longer than 16384 bytes",
	} {
		err := jq.Check(program)
		if want == "" {
			require.NoError(t, err, program)
		} else {
			require.EqualError(t, err, want, program)
		}
	}
}

// BenchmarkRun is a mapping of a few kilobytes through a process; the same program in this process is the yardstick.
func BenchmarkRun(b *testing.B) {
	input := []byte(`{"lines":["` + strings.Repeat("one ", 500) + `","two"]}`)
	const program = `{messages: [.lines[] | "* " + .]}`
	b.Run("process", func(b *testing.B) {
		p := jq.NewPool(1)
		defer p.Close()
		for b.Loop() {
			if _, err := p.Run("acme", program, input); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("here", func(b *testing.B) {
		for b.Loop() {
			query, err := gojq.Parse(program)
			if err != nil {
				b.Fatal(err)
			}
			code, err := gojq.Compile(query)
			if err != nil {
				b.Fatal(err)
			}
			var value any
			if err := json.Unmarshal(input, &value); err != nil {
				b.Fatal(err)
			}
			code.Run(value).Next()
		}
	})
}
