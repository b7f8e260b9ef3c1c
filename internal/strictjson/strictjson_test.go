package strictjson_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/strictjson"
)

func TestRead(t *testing.T) {
	t.Parallel()
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	brackets := `"` + strings.Repeat(`[{\"`, 100) + `"`
	siblings := "[" + strings.Repeat("[],", 100) + "1]"
	tests := []struct {
		name, text, want string
		err              error
		message          string
	}{
		{name: "object", text: `{"a":1}`, want: `{"a":1}`},
		{name: "white space around", text: " \t\r\n{ \"a\" : 1 }\n", want: `{ "a" : 1 }`},
		{name: "byte order mark", text: "\uFEFF[]", want: `[]`},
		{name: "huge number", text: strings.Repeat("9", 5000) + "e999999", want: strings.Repeat("9", 5000) + "e999999"},
		{name: "64 levels", text: deep(64), want: deep(64)},
		{name: "brackets in a string", text: brackets, want: brackets},
		{name: "siblings do not add depth", text: siblings, want: siblings},
		{name: "surrogate pair", text: `"\ud83d\ude00"`, want: `"\ud83d\ude00"`},
		{name: "escaped backslash", text: `"\\u0000\\ud800"`, want: `"\\u0000\\ud800"`},
		{name: "U+FFFD itself", text: "\"\uFFFD\\ufffd\"", want: "\"\uFFFD\\ufffd\""},

		{name: "NUL escape", text: `["a\u0000"]`, want: `["a\ufffd"]`},
		{name: "NUL after a backslash", text: `"\\\u0000"`, want: `"\\\ufffd"`},
		{name: "high surrogate alone", text: `{"a":"\uD83D","b":1}`, want: `{"a":"\ufffd","b":1}`},
		{name: "high surrogate and a letter", text: `"\ud83d\u0041"`, want: `"\ufffd\u0041"`},
		{name: "two high surrogates", text: `"\ud83d\ud83d\ude00"`, want: `"\ufffd\ud83d\ude00"`},
		{name: "low surrogate alone", text: `"\ude00"`, want: `"\ufffd"`},
		{name: "swapped surrogates", text: `"\ude00\ud83d"`, want: `"\ufffd\ufffd"`},

		{name: "empty", text: "", err: strictjson.ErrEmpty},
		{name: "only white space", text: " \n", err: strictjson.ErrEmpty},
		{name: "only a byte order mark", text: "\uFEFF", err: strictjson.ErrEmpty},
		{name: "65 levels", text: deep(65), err: strictjson.ErrDepth, message: "byte 64"},
		{name: "20000 levels", text: deep(20_000), err: strictjson.ErrDepth, message: "byte 64"},
		{name: "a million open", text: strings.Repeat(`{"a":`, 1_000_000), err: strictjson.ErrDepth},
		{name: "invalid byte", text: "\"a\xff\"", err: strictjson.ErrUTF8, message: "byte 2"},
		{name: "overlong", text: "\"\xc0\x80\"", err: strictjson.ErrUTF8, message: "byte 1"},
		{name: "surrogate bytes", text: "\"\xed\xa0\x80\"", err: strictjson.ErrUTF8, message: "byte 1"},
		{name: "cut in a rune", text: "\"\xf0\x9f", err: strictjson.ErrUTF8, message: "byte 1"},
		{name: "NUL in a name", text: `{"\u0000":1}`, err: strictjson.ErrNUL, message: "byte 2"},
		{name: "NUL in a name before white space", text: "{\"a\\u0000\" \n:1}", err: strictjson.ErrNUL, message: "byte 3"},
		{name: "surrogate in a name", text: `{"b":"\ud83d","\ud83d":1}`, err: strictjson.ErrSurrogate, message: "byte 15"},
		{name: "NUL byte in a string", text: "\"\x00\"", err: strictjson.ErrSyntax},
		{name: "cut in an escape", text: `"\ud83d\u12`, err: strictjson.ErrSyntax},
		{name: "bad escape", text: `"\u+123"`, err: strictjson.ErrSyntax},
		{name: "backslash at the end", text: `"\`, err: strictjson.ErrSyntax},
		{name: "two values", text: `1 2`, err: strictjson.ErrSyntax, message: "byte 2"},
		{name: "NaN", text: `NaN`, err: strictjson.ErrSyntax},
		{name: "leading zero", text: `01`, err: strictjson.ErrSyntax},
		{name: "single quotes", text: `{'a':1}`, err: strictjson.ErrSyntax},
		{name: "comment", text: `{} // x`, err: strictjson.ErrSyntax},
		{name: "more shut than open", text: `]]]]`, err: strictjson.ErrSyntax},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := strictjson.Read([]byte(tt.text))
			require.ErrorIs(t, err, tt.err)
			require.Equal(t, tt.want, string(got))
			if tt.message != "" {
				require.ErrorContains(t, err, tt.message)
			}
		})
	}
}

func TestReadObject(t *testing.T) {
	t.Parallel()
	o, err := strictjson.ReadObject([]byte(` {"b":1, "a":null,"b":[2, 3],"":"x","B":{}} `))
	require.NoError(t, err)
	require.Equal(t, 4, o.Len())
	var names []string
	for name, value := range o.All() {
		names = append(names, name+"="+string(value))
	}
	require.Equal(t, []string{`b=[2, 3]`, `a=null`, `="x"`, `B={}`}, names, "the first place, the last value")

	value, ok := o.Get("a")
	require.True(t, ok)
	require.Equal(t, "null", string(value))
	require.Nil(t, o.Lookup("a"))
	require.Nil(t, o.Lookup("c"))
	require.Equal(t, "{}", string(o.Lookup("B")))
	requireText(t, `{"b":1, "a":null,"b":[2, 3],"":"x","B":{}}`, o.Text())

	for _, text := range []string{`[]`, `null`, `"{}"`, `1`} {
		_, err := strictjson.ReadObject([]byte(text))
		require.ErrorIs(t, err, strictjson.ErrNotObject)
	}
}

// TestStrictJSON_ErrorsQuoteNothing is what lets callers put these errors into messages.
func TestStrictJSON_ErrorsQuoteNothing(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{"§§`, "§§", `{"a":§§}`, "{\"§§\xff\"}", `{"§§\u0000":1}`, `{} §§`} {
		_, err := strictjson.ReadObject([]byte(text))
		require.Error(t, err)
		require.NotContains(t, err.Error(), "§")
	}
}

func TestKind(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{}`: "object", "\t[]": "array", `"a"`: "string", `-1`: "number", `0`: "number", `true`: "boolean",
		`false`: "boolean", `null`: "null", ``: "nothing",
	} {
		require.Equal(t, want, strictjson.Kind([]byte(text)), text)
	}
}

func TestEncode(t *testing.T) {
	t.Parallel()
	got, err := strictjson.Encode(map[string]string{"b": "<a&b>", "a": "é\n"})
	require.NoError(t, err)
	requireText(t, `{"a":"é\n","b":"<a&b>"}`, got)
}

// requireText compares byte for byte: how the JSON is written matters here.
func requireText(t *testing.T, want string, got []byte) {
	t.Helper()
	require.Equal(t, want, string(got))
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{`{"a":[1,"\ud83d\ude00"]}`, `"\u0000"`, `["\ud83d","\udc00x"]`, "\uFEFF1", "[[[", "\xff", "{}{}", `"\`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		before := string(text)
		value, err := strictjson.Read(text)
		require.Equal(t, before, string(text), "the text belongs to the caller")
		if err != nil {
			require.Nil(t, value)
			return
		}
		for _, unit := range strictText(t, value) {
			require.NotZero(t, unit)
		}
		again, err := strictjson.Read(value)
		require.NoError(t, err)
		require.Equal(t, string(value), string(again))
		if strictjson.Kind(value) != "object" {
			return
		}
		_, err = strictjson.ReadObject(value)
		require.NoError(t, err)
		canonical, err := strictjson.Merge([]byte(`{}`), value)
		require.NoError(t, err)
		same, err := strictjson.Merge(canonical, []byte(`{}`))
		require.NoError(t, err)
		require.Equal(t, string(canonical), string(same))
	})
}

// strictText returns every text of a value as Go reads it.
func strictText(t *testing.T, value []byte) string {
	t.Helper()
	decoded, err := strictjson.Decode(value)
	require.NoError(t, err)
	var all strings.Builder
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			all.WriteString(v)
		case []any:
			for _, item := range v {
				walk(item)
			}
		case map[string]any:
			for name, item := range v {
				all.WriteString(name)
				walk(item)
			}
		}
	}
	walk(decoded)
	return all.String()
}
