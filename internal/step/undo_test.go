package step_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/step"
)

func TestUserWrite_Undo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ old, wrote, before, read, want string }{
		"another value":              {`{"a":2,"b":1}`, `{"a":2}`, ``, `{"a":1}`, `{"a":1,"b":1}`},
		"a member that is not read":  {`{"a":2,"b":1}`, `{"a":2}`, ``, `{"b":1}`, `{"b":1}`},
		"a member that was removed":  {`{"b":1}`, `{"a":null}`, ``, `{"a":1,"b":1}`, `{"a":1,"b":1}`},
		"changed since":              {`{"a":3}`, `{"a":2}`, ``, `{"a":1}`, `{"a":3}`},
		"the same value":             {`{"a":2}`, `{"a":2}`, ``, `{"a": 2}`, `{"a":2}`},
		"another step's member":      {`{"a":2,"b":9}`, `{"a":2}`, ``, `{"a":1,"b":1}`, `{"a":1,"b":9}`},
		"no details any more":        {``, `{"a":2}`, ``, `{"a":1}`, ``},
		"removed where none was":     {``, `{"a":null}`, ``, `{"a":1}`, `{"a":1}`},
		"the reply has none":         {`{"a":2,"b":1}`, `{"a":2}`, `{"a":0,"b":7}`, ``, `{"a":0,"b":1}`},
		"neither has":                {`{"a":2}`, `{"a":2}`, `{}`, ``, `{}`},
		"a value of another spacing": {`{"a":{"x":1}}`, `{"a":{ "x": 1 }}`, ``, `{"a":0}`, `{"a":0}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := step.NewUserWrite("u", json.RawMessage(c.wrote), json.RawMessage(c.before)).
				Undo(json.RawMessage(c.old), json.RawMessage(c.read))
			require.NoError(t, err)
			require.Equal(t, c.want, string(got))
		})
	}
	_, err := step.NewUserWrite("u", json.RawMessage(`{"a":1}`), nil).Undo(json.RawMessage(`[]`), nil)
	require.Error(t, err)
}
