package step_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/step"
)

func TestUserWrite_Undone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ wrote, before, read, want string }{
		"another value":            {`{"a":2}`, ``, `{"a":1,"b":1}`, `{"a":1}`},
		"a member that is removed": {`{"a":2}`, `{"a":0}`, `{"b":1}`, `{"a":null}`},
		"a removal":                {`{"a":null}`, ``, `{"a":1}`, `{"a":1}`},
		"the reply has none":       {`{"a":2,"c":3}`, `{"a":0,"b":7}`, ``, `{"a":0,"c":null}`},
		"neither has":              {`{"a":2}`, ``, ``, `{"a":null}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := step.NewUserWrite("u", json.RawMessage(c.wrote), json.RawMessage(c.before)).Undone(json.RawMessage(c.read))
			require.NoError(t, err)
			text, err := json.Marshal(got)
			require.NoError(t, err)
			require.JSONEq(t, c.want, string(text))
		})
	}
	_, err := step.NewUserWrite("u", json.RawMessage(`{"a":1}`), nil).Undone(json.RawMessage(`[]`))
	require.Error(t, err)
	_, err = step.NewUserWrite("u", json.RawMessage(`[]`), nil).Undone(nil)
	require.Error(t, err)
}
