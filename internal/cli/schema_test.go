package cli_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/cli"
	"github.com/hookturn/hookturn/schemas"
)

func TestSchema_Printed(t *testing.T) {
	t.Parallel()
	require.Equal(t, schemas.SchemaNames(), lines(succeed(t, &world{}, "schema")))
	require.JSONEq(t, `["common","event","reply","deadletter","advisory","notice","audit","botfile"]`,
		string(member(t, succeed(t, &world{}, "schema", "--output", "json"), "schemas")))
	for _, name := range schemas.SchemaNames() {
		text, err := schemas.JSONSchema(name)
		require.NoError(t, err)
		require.Equal(t, string(text), succeed(t, &world{}, "schema", name))
		out := succeed(t, &world{}, "schema", name, "--output", "json")
		require.JSONEq(t, string(text), out)
		require.Len(t, lines(out), 1)
	}
	require.Contains(t, succeed(t, &world{}, "__complete", "schema", ""), "botfile\n")
}

// member returns a member of a JSON document.
func member(t *testing.T, document, name string) json.RawMessage {
	t.Helper()
	var members map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(document), &members), document)
	return members[name]
}

func TestSchema_UnknownName(t *testing.T) {
	t.Parallel()
	for name, hint := range map[string]string{"botfil": "did you mean botfile?", "Reply": "did you mean reply?", "x": `"starter schema" prints the names`} {
		w := &world{}
		require.Equal(t, 3, w.run(testContext(t), cli.StarterCommand(), "schema", name))
		require.Equal(t, "starter: no JSON Schema has the name \""+name+"\": "+hint+"\n", w.err.String())
	}
}
