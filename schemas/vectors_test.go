package schemas_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

// vector is one file under testdata: header lines "key: value", a line "---", the payload. The keys are
//
//	expect    ok or invalid (required)
//	why       what the vector is about (required)
//	pointer   where DecodeEvent must report that the payload is invalid; missing means the whole message
//	detail    what its error text must contain
//	schema    n/a when a schema cannot express the defect
//	encoding  go when the payload is one Go string literal, for bytes that an editor would not keep
type vector struct {
	ok      bool
	pointer string
	detail  string
	schema  bool
	payload []byte
}

func readVector(t *testing.T, path string) vector {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	header, payload, found := bytes.Cut(raw, []byte("\n---\n"))
	require.True(t, found, "%s has no line ---", path)

	keys := map[string]string{}
	for line := range strings.SplitSeq(string(header), "\n") {
		key, value, found := strings.Cut(line, ": ")
		require.True(t, found, "%s: %q is not key: value", path, line)
		require.NotContains(t, keys, key, path)
		keys[key] = value
	}
	v := vector{schema: true, payload: payload}
	for key, value := range keys {
		switch key {
		case "expect":
			require.Contains(t, []string{"ok", "invalid"}, value, path)
			v.ok = value == "ok"
		case "pointer":
			v.pointer = value
		case "detail":
			v.detail = value
		case "schema":
			require.Equal(t, "n/a", value, path)
			v.schema = false
		case "encoding":
			require.Equal(t, "go", value, path)
			text, err := strconv.Unquote(strings.TrimSpace(string(payload)))
			require.NoError(t, err, path)
			v.payload = []byte(text)
		case "why":
		default:
			t.Fatalf("%s: unknown header key %q", path, key)
		}
	}
	require.Contains(t, keys, "expect", path)
	require.NotEmpty(t, keys["why"], path)
	return v
}

// eachVector runs a test on every vector of a folder, of which there must be at least so many.
func eachVector(t *testing.T, folder string, atLeast int, test func(t *testing.T, v vector)) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", folder, "*"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(paths), atLeast)
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			test(t, readVector(t, path))
		})
	}
}

func TestEvent_Vectors(t *testing.T) {
	t.Parallel()
	eachVector(t, "events", 60, func(t *testing.T, v vector) {
		if v.schema {
			requireJudgement(t, v, validateJSON(schema(t, schemas.SchemaEvent), v.payload))
		}
		e, err := schemas.DecodeEvent(v.payload)
		requireJudgement(t, v, err)
		if v.ok {
			requireRoundTrip(t, e)
			return
		}
		var bad *schemas.InvalidError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, v.pointer, bad.Pointer)
		require.Contains(t, bad.Error(), v.detail)
	})
}

// requireJudgement fails when the result for a vector is not the one that its header expects.
func requireJudgement(t *testing.T, v vector, err error) {
	t.Helper()
	if v.ok {
		require.NoError(t, err)
	} else {
		require.Error(t, err)
	}
}

// requireRoundTrip fails when an event that was decoded is not the same event after it has travelled once more.
func requireRoundTrip(t *testing.T, e schemas.Event) {
	t.Helper()
	raw, err := e.Encode()
	require.NoError(t, err)
	require.NoError(t, validateJSON(schema(t, schemas.SchemaEvent), raw))
	again, err := schemas.DecodeEvent(raw)
	require.NoError(t, err)
	rawAgain, err := again.Encode()
	require.NoError(t, err)
	require.Equal(t, string(raw), string(rawAgain))
}

func TestReply_Vectors(t *testing.T) {
	t.Parallel()
	eachVector(t, "replies", 20, func(t *testing.T, v vector) {
		requireJudgement(t, v, validateJSON(schema(t, schemas.SchemaReply), v.payload))
		if !v.ok {
			return
		}
		var r schemas.Reply
		require.NoError(t, json.Unmarshal(v.payload, &r))
		data := replyData(t, r.Type)
		require.NoError(t, json.Unmarshal(r.Data, data))
		rewritten, err := json.Marshal(data)
		require.NoError(t, err)
		require.JSONEq(t, string(r.Data), string(rewritten), "the Go type has every member of the schema")
		raw, err := r.Encode()
		require.NoError(t, err)
		require.JSONEq(t, string(v.payload), string(raw))
	})
}

// replyData is an empty value of the Go type of a reply's data.
func replyData(t *testing.T, replyType string) any {
	t.Helper()
	types := map[string]any{
		schemas.TypeStepReplied:        new(schemas.StepReplied),
		schemas.TypeStepLate:           new(schemas.StepReplied),
		schemas.TypeStepWaiting:        new(schemas.StepWaiting),
		schemas.TypeStepProgress:       new(schemas.StepProgress),
		schemas.TypeMessageSent:        new(schemas.MessageSent),
		schemas.TypeConversationClosed: new(schemas.ConversationClosed),
	}
	require.Contains(t, types, replyType)
	return types[replyType]
}

func TestDeadLetter_Vectors(t *testing.T) {
	t.Parallel()
	eachVector(t, "deadletters", 6, func(t *testing.T, v vector) {
		requireJudgement(t, v, validateJSON(schema(t, schemas.SchemaDeadLetter), v.payload))
	})
}

func TestAuditEvent_Vectors(t *testing.T) {
	t.Parallel()
	eachVector(t, "audit", 8, func(t *testing.T, v vector) {
		requireJudgement(t, v, validateJSON(schema(t, schemas.SchemaAudit), v.payload))
		if !v.ok {
			return
		}
		var event schemas.AuditEvent
		require.NoError(t, json.Unmarshal(v.payload, &event))
		raw, err := json.Marshal(event)
		require.NoError(t, err)
		require.JSONEq(t, string(v.payload), string(raw), "the Go type has every member of the schema")
	})
}

func TestBotFile_Vectors(t *testing.T) {
	t.Parallel()
	eachVector(t, "botfiles", 40, func(t *testing.T, v vector) {
		requireJudgement(t, v, validateYAML(schema(t, schemas.SchemaBotFile), v.payload))
	})
}
