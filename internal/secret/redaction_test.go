package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

const text = "hunter2-\u00e9"

// holders are the shapes in which a secret may end up in a print.
func holders() map[string]any {
	v := New(text)
	type exported struct{ Secret Value }
	type pointer struct{ Secret *Value }
	type unexported struct{ secret Value } // fmt cannot call the methods of such a field
	return map[string]any{
		"value":             v,
		"pointer":           &v,
		"struct":            exported{v},
		"unexported field":  unexported{v},
		"pointer to struct": &exported{v},
		"pointer in struct": pointer{&v},
		"slice":             []Value{v, v},
		"array":             [1]Value{v},
		"map value":         map[string]Value{"a": v},
		"map key":           map[Value]string{v: "a"},
		"nested":            map[string]any{"a": []any{exported{v}}},
		"error":             fmt.Errorf("with %v", v),
		"joined error":      errors.Join(fmt.Errorf("with %s", v), fmt.Errorf("with %q", v)),
	}
}

func TestRedaction_ByFmt(t *testing.T) {
	t.Parallel()
	for name, h := range holders() {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "% x", "%10s", "%t"} {
			requireHidden(t, fmt.Sprintf(verb, h), name+" "+verb)
		}
		requireHidden(t, fmt.Sprint(h), name)
		requireHidden(t, fmt.Sprintln(h), name)
	}
	require.Equal(t, Redacted, fmt.Sprint(New(text)))
	require.Equal(t, Redacted, fmt.Sprintf("%#v", New(text)))
}

func TestRedaction_ByEncoders(t *testing.T) {
	t.Parallel()
	for name, h := range holders() {
		encoded, err := json.Marshal(h)
		require.NoError(t, err, name)
		requireHidden(t, string(encoded), name)
		if _, isError := h.(error); name == "map key" || isError {
			continue // not what YAML is for
		}
		encoded, err = yaml.Marshal(h)
		require.NoError(t, err, name)
		requireHidden(t, string(encoded), name)
	}
	encoded, err := json.Marshal(map[string]Value{"a": New(text)})
	require.NoError(t, err)
	var back map[string]string
	require.NoError(t, json.Unmarshal(encoded, &back))
	require.Equal(t, Redacted, back["a"])
}

func TestRedaction_BySlog(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		for name, h := range holders() {
			out.Reset()
			slog.New(handler).With("before", h).Info("message", "after", h, slog.Group("g", "inside", h))
			require.NotEmpty(t, out.String())
			requireHidden(t, out.String(), name)
		}
	}
}

func TestRedaction_Reveal(t *testing.T) {
	t.Parallel()
	require.Equal(t, text, New(text).Reveal())
	require.False(t, New(text).IsZero())
	require.True(t, Value{}.IsZero())
	require.True(t, New("").IsZero())
	require.Equal(t, Redacted, Value{}.String(), "an empty secret looks like every other")
	first, second := New("a"), New("a")
	require.Equal(t, first, second)
}

// requireHidden looks for the secret itself and for its bytes in hexadecimal.
func requireHidden(t *testing.T, shown, where string) {
	t.Helper()
	for _, form := range []string{text, "hunter2", fmt.Sprintf("%x", text), fmt.Sprintf("%X", text), fmt.Sprintf("% x", text)} {
		require.NotContains(t, shown, form, where)
	}
	for _, decimal := range []string{"104 117 110", "[104", "104,"} {
		require.NotContains(t, shown, decimal, where)
	}
}
