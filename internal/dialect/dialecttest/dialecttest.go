// Package dialecttest holds what every dialect must do, whatever its partner's JSON looks like. A dialect's own tests
// call Run with what is special about it.
package dialecttest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/strictjson"
)

// Canary stands in the bad bodies of this package; no error may show it.
const Canary = "canary-7f3a"

// Fixtures are what Run needs to know about a dialect.
type Fixtures struct {
	// Context is a step with as many of the optional values as the dialect looks at.
	Context dialect.Context
	// Good is an answer, a JSON object, that decodes without a problem and changes something in every part of the result
	// that the dialect has.
	Good []byte
	// IgnoresBody reports whether the dialect ignores the content of an answer, so that an invalid one is not a failure.
	IgnoresBody bool
	// TakesEmpty reports whether an empty body, or one of white space, is a valid answer.
	TakesEmpty bool
	// ContentType is that of the request; "" = application/json.
	ContentType string
	// UserStore reports whether the dialect keeps user_details.
	UserStore bool
}

// Run tests a dialect.
func Run(t *testing.T, d dialect.Dialect, f Fixtures) {
	t.Helper()
	t.Run("name", func(t *testing.T) {
		t.Parallel()
		require.Regexp(t, "^[a-z]+$", d.Spec().Name)
		first, again := d.Spec(), d.Spec()
		require.Equal(t, first, again)
		_, ignores := d.(dialect.BodyIgnorer)
		require.Equal(t, f.IgnoresBody, ignores)
	})
	t.Run("encode", func(t *testing.T) {
		t.Parallel()
		testEncode(t, d, f)
	})
	t.Run("decode good", func(t *testing.T) {
		t.Parallel()
		testGood(t, d, f)
	})
	for name, body := range BadBodies() {
		t.Run("decode "+name, func(t *testing.T) {
			t.Parallel()
			answer, err := d.Decode(f.Context, body)
			if f.IgnoresBody || (len(bytes.TrimSpace(body)) == 0 && f.TakesEmpty) {
				require.NoError(t, err)
				return
			}
			requireBadAnswer(t, err)
			require.Zero(t, answer, "a refused answer changes nothing")
		})
	}
	t.Run("statuses", func(t *testing.T) {
		t.Parallel()
		testStatuses(t, d)
	})
	if f.UserStore {
		t.Run("user store", func(t *testing.T) {
			t.Parallel()
			testUserStore(t, d)
		})
	}
}

func testEncode(t *testing.T, d dialect.Dialect, f Fixtures) {
	t.Helper()
	before := snapshot(t, f.Context)
	first, err := d.Encode(f.Context)
	require.NoError(t, err)
	_, err = strictjson.Read(first.Body)
	require.NoError(t, err, "the request is JSON by our own rules")
	require.Equal(t, []string{cmp.Or(f.ContentType, "application/json")}, first.Header.Values("Content-Type"))

	for range 50 {
		again, err := d.Encode(f.Context)
		require.NoError(t, err)
		require.Equal(t, string(first.Body), string(again.Body), "the same context gives the same bytes")
		require.Equal(t, first.Header, again.Header)
	}
	require.Equal(t, before, snapshot(t, f.Context), "the context is left as it was")
}

// snapshot is all that a dialect could change in a context.
func snapshot(t *testing.T, c dialect.Context) string {
	t.Helper()
	text, err := json.Marshal([]any{c.Plan, c.Event, c.User, c.Entities, c.ConversationDetails, c.UserDetails, c.Variables})
	require.NoError(t, err)
	return string(text)
}

func testGood(t *testing.T, d dialect.Dialect, f Fixtures) {
	t.Helper()
	want, err := d.Decode(f.Context, f.Good)
	require.NoError(t, err)
	require.Nil(t, want.Problem)
	parts := []any{want.Messages, want.ConversationDetails, want.UserDetailsUpdate, want.Variables, want.Output}
	_, err = json.Marshal(parts)
	require.NoError(t, err)

	for name, body := range sameMeaning(t, f.Good) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := d.Decode(f.Context, body)
			require.NoError(t, err)
			if want.Output != nil {
				got.Output = want.Output // the whole body, as it came
			}
			require.Equal(t, want, got)
		})
	}
}

// requireBadAnswer checks that an error is a fault without a retry and that its text holds no part of the body.
func requireBadAnswer(t *testing.T, err error) {
	t.Helper()
	var f *fault.Fault
	require.ErrorAs(t, err, &f)
	require.Contains(t, []fault.Kind{fault.BadResponse, fault.Encoding, fault.TooLarge}, f.Kind)
	require.False(t, f.Retryable())
	require.NotEmpty(t, f.Message)
	for err != nil {
		require.NotContains(t, err.Error(), Canary)
		require.True(t, utf8.ValidString(err.Error()))
		err = errors.Unwrap(err)
	}
}

func testStatuses(t *testing.T, d dialect.Dialect) {
	t.Helper()
	const wait = 7 * time.Second
	for status := 100; status <= 599; status++ {
		f := dialect.Classify(d, status, wait)
		if d.GoodStatus(status) {
			require.Nil(t, f, "%d", status)
			require.Equal(t, 2, status/100, "no status but a 2xx is good")
			continue
		}
		require.NotNil(t, f, "%d", status)
		require.Equal(t, status, f.Status)
		require.Equal(t, fault.RetryableStatus(status), f.Retryable(), "%d", status)
		if f.Retryable() {
			require.Equal(t, wait, f.RetryAfter, "%d", status)
		}
	}
	require.True(t, d.GoodStatus(http.StatusOK))
}

func testUserStore(t *testing.T, d dialect.Dialect) {
	t.Helper()
	old, update := `{"a":"1","b":{"c":1}}`, `{"a":null,"b":{"d":2},"e":"3"}`
	store, err := d.MergeUserDetails(json.RawMessage(old), json.RawMessage(update))
	require.NoError(t, err)
	require.JSONEq(t, `{"b":{"d":2},"e":"3"}`, string(store), "shallow, and null deletes")

	same, err := d.MergeUserDetails(store, nil)
	require.NoError(t, err)
	require.Equal(t, string(store), string(same))

	huge := json.RawMessage(`{"x":"` + string(bytes.Repeat([]byte(Canary), 100_000)) + `"}`)
	for name, update := range map[string]json.RawMessage{"huge": huge, "array": json.RawMessage(`["` + Canary + `"]`)} {
		kept, err := d.MergeUserDetails(store, update)
		requireBadAnswer(t, err)
		require.Equal(t, string(store), string(kept), name)
	}
}
