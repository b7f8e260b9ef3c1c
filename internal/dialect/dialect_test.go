package dialect_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/strictjson"
)

// named is a dialect of which only the name and the good statuses matter.
type named struct {
	dialect.Dialect
	name string
	good func(int) bool
}

func (n named) Spec() bot.Spec        { return bot.Spec{Name: n.name} }
func (n named) GoodStatus(s int) bool { return n.good(s) }

func only200(status int) bool { return status == http.StatusOK }
func any2xx(status int) bool  { return status/100 == 2 }

func TestSet(t *testing.T) {
	t.Parallel()
	b, a := named{name: "b"}, named{name: "a"}
	set := dialect.New(b, a)
	require.Equal(t, []string{"a", "b"}, set.Names())

	got, err := set.Get("b")
	require.NoError(t, err)
	require.Equal(t, "b", got.Spec().Name)

	_, err = set.Get("c")
	require.Equal(t, fault.Config, fault.Of(err).Kind)
	require.ErrorContains(t, err, `"c"`)
	require.ErrorContains(t, err, "a, b")

	require.Panics(t, func() { dialect.New(a, a) })
}

// TestDialect_StatusTable holds the table against the contract's sentence about retries, over every status.
func TestDialect_StatusTable(t *testing.T) {
	t.Parallel()
	kinds := map[int]fault.Kind{410: fault.Gone, 429: fault.RateLimited}
	for status := 300; status < 400; status++ {
		kinds[status] = fault.Redirect
	}
	for status := 100; status <= 599; status++ {
		f := dialect.Classify(named{good: any2xx}, status, time.Minute)
		if any2xx(status) {
			require.Nil(t, f, "%d", status)
			f = dialect.Classify(named{good: only200}, status, time.Minute)
			require.Equal(t, status == http.StatusOK, f == nil, "%d", status)
			if f == nil {
				continue
			}
		}
		want, special := kinds[status]
		if !special {
			want = fault.Status
		}
		require.Equal(t, want, f.Kind, "%d", status)
		require.Equal(t, status, f.Status)
		require.Contains(t, f.Message, fmt.Sprint(status))
		require.Equal(t, fault.RetryableStatus(status), f.Retryable(), "%d", status)
		if f.Retryable() {
			require.Equal(t, time.Minute, f.RetryAfter, "%d", status)
		} else {
			require.Zero(t, f.RetryAfter, "%d", status)
		}
	}
}

func TestDialect_StatusTableCoversEveryStatus(t *testing.T) {
	t.Parallel()
	for status := 100; status <= 599; status++ {
		covered := false
		for _, row := range dialect.StatusTable {
			if row.First <= status && status <= row.Last {
				covered = true
				break
			}
		}
		require.True(t, covered, "%d", status)
	}
}

func TestClassify_OddValues(t *testing.T) {
	t.Parallel()
	for _, status := range []int{-1, 0, 99, 600, 999} {
		f := dialect.Classify(named{good: any2xx}, status, time.Second)
		require.Equal(t, fault.Status, f.Kind, "%d", status)
		require.False(t, f.Retryable(), "%d", status)
	}
	require.Zero(t, dialect.Classify(named{good: any2xx}, 503, -time.Second).RetryAfter)
}

func TestStore_Merge(t *testing.T) {
	t.Parallel()
	store := dialect.Store{Name: "details", Initial: json.RawMessage(`{"a":1}`), Limit: 20}
	tests := []struct {
		name, old, update, want string
		kind                    fault.Kind
	}{
		{"no update", `{"b": 2}`, ``, `{"b": 2}`, ""},
		{"initial value", ``, `{"b":2}`, `{"a":1,"b":2}`, ""},
		{"null deletes", `{"a":1,"b":2}`, `{"a":null,"c":null}`, `{"b":2}`, ""},
		{"empty stays empty", `{}`, `{}`, `{}`, ""},
		{"shallow", `{"a":{"b":1}}`, `{"a":{"c":2}}`, `{"a":{"c":2}}`, ""},
		{"nested null stays", `{}`, `{"a":{"c":null}}`, `{"a":{"c":null}}`, ""},
		{"numbers are text", `{}`, `{"a":1e400,"b":0.10}`, `{"a":1e400,"b":0.10}`, ""},
		{"last of two", `{}`, `{"a":1,"a":2}`, `{"a":2}`, ""},
		{"case matters", `{"a":1}`, `{"A":2}`, `{"A":2,"a":1}`, ""},
		{"at the limit", `{}`, `{"a":"éééééééééééé"}`, `{"a":"éééééééééééé"}`, ""},
		{"escapes count as one", `{}`, `{"a":"\u00e9\u003c\ud83d\ude00234567890AB"}`, ``, fault.TooLarge},
		{"escapes at the limit", `{}`, `{"a":"\u00e9\u003c\ud83d\ude00234567890"}`, `{"a":"é<😀234567890"}`, ""},
		{"one over", `{"b": 1}`, `{"b":null,"a":"ééééééééééééé"}`, `{"b": 1}`, fault.TooLarge},
		{"array", `{"b":1}`, `[1]`, `{"b":1}`, fault.BadResponse},
		{"null", `{"b":1}`, `null`, `{"b":1}`, fault.BadResponse},
		{"broken store", `{"b":`, `{"a":1}`, `{"b":`, fault.Internal},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := store.Merge(raw(tt.old), raw(tt.update))
			if tt.kind != "" {
				require.Equal(t, tt.kind, fault.Of(err).Kind)
				require.ErrorContains(t, err, "details")
				require.Equal(t, tt.old, string(got), "the old store is kept as it was")
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, string(got))
		})
	}
}

func TestStore_MergeIsIdempotent(t *testing.T) {
	t.Parallel()
	store := dialect.Store{Name: "details", Initial: json.RawMessage(`{}`), Limit: 1000}
	update := json.RawMessage(` {"z":"\u00e9", "a":{"y":[1, 2.50],"x":null}} `)
	once, err := store.Merge(nil, update)
	require.NoError(t, err)
	twice, err := store.Merge(once, update)
	require.NoError(t, err)
	require.Equal(t, string(once), string(twice))
	want := `{"a":{"x":null,"y":[1,2.50]},"z":"é"}`
	require.Equal(t, want, string(once))
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]fault.Kind{
		"":                      fault.BadResponse,
		"{":                     fault.BadResponse,
		`{"\u0000":1}`:          fault.BadResponse,
		strings.Repeat("[", 65): fault.BadResponse,
		"\"\xff\"":              fault.Encoding,
		`{"\ud800":1}`:          fault.Encoding,
	} {
		_, err := strictjson.Read([]byte(text))
		require.Error(t, err)
		require.Equal(t, want, dialect.Unreadable(err).Kind, "%q", text)
	}
}

func raw(text string) json.RawMessage {
	if text == "" {
		return nil
	}
	return json.RawMessage(text)
}
