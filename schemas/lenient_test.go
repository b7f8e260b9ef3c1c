package schemas_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

// TestDecodeEvent_ReplacesInValues covers every place of a string value, free-form ones included, and that the message
// stays the caller's: it may become a dead letter, byte for byte.
func TestDecodeEvent_ReplacesInValues(t *testing.T) {
	t.Parallel()
	raw := eventVector(t, "good_nul_everywhere")
	before := string(raw)
	e, err := schemas.DecodeEvent(raw)
	require.NoError(t, err)
	require.Equal(t, before, string(raw))
	require.Equal(t, schemas.EventData{
		Step: "S", User: &schemas.User{Name: "\uFFFD", Language: "\uFFFD"},
		Entities: map[string][]schemas.Entity{
			"e": {{Detection: "\uFFFD", OriginalText: "\uFFFD", EntityValue: json.RawMessage(`{"a":["\ufffd"]}`)}},
		},
		Variables: map[string]string{"v": "\uFFFD"},
		Params:    map[string]json.RawMessage{"p": json.RawMessage(`"\ufffd"`)},
		Message:   json.RawMessage(`{"type":"text","text":"hi \ufffd"}`),
	}, e.Data)
}

func TestDecodeEvent_Times(t *testing.T) {
	t.Parallel()
	const template = `{"specversion":"1.0","id":"e1","source":"s","type":"hookturn.step.requested","time":"TIME","subject":"c",
		"expirytime":"TIME","data":{"step":"S"}}`
	for text, want := range map[string]time.Time{
		"2026-11-20t12:00:00z":            time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC),
		"2026-11-20T12:00:00.123456789Z":  time.Date(2026, 11, 20, 12, 0, 0, 123456789, time.UTC),
		"2016-12-31T23:59:60Z":            time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC),
		"2016-12-31t23:59:60.5z":          time.Date(2017, 1, 1, 0, 0, 0, 5e8, time.UTC),
		"1990-12-31T15:59:60-08:00":       time.Date(1991, 1, 1, 0, 0, 0, 0, time.UTC),
		"2026-11-20T12:00:00-00:00":       time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC),
		"0000-01-01T00:00:00Z":            time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC),
		"2026-11-20T12:00:00.0000000001Z": time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC),
	} {
		e, err := schemas.DecodeEvent([]byte(strings.ReplaceAll(template, "TIME", text)))
		require.NoError(t, err, text)
		require.True(t, want.Equal(e.Time), "%s is read as %s", text, e.Time)
		require.True(t, want.Equal(*e.ExpiryTime), text)
	}
}

// TestEvent_Extensions follows extension attributes over the payload of a workflow and the wire.
func TestEvent_Extensions(t *testing.T) {
	t.Parallel()
	e, err := schemas.DecodeEvent(eventVector(t, "good_extensions"))
	require.NoError(t, err)
	want := map[string]json.RawMessage{
		"partitionkey": json.RawMessage(`"p-7"`), "sampledrate": json.RawMessage(`5`), "urgent": json.RawMessage(`true`),
		"note": json.RawMessage(`"a\ufffdb"`),
	}
	require.Equal(t, want, e.Extensions)

	type payload struct {
		Event schemas.Event `json:"event"`
	}
	raw, err := schemas.Marshal(payload{e})
	require.NoError(t, err)
	var back payload
	require.NoError(t, json.Unmarshal(raw, &back))
	require.Equal(t, e, back.Event)

	e.Extensions["id"], e.Extensions["Data"] = json.RawMessage(`"other"`), json.RawMessage(`1`)
	e.Extensions["broken"] = json.RawMessage(`{`)
	wire, err := e.Encode()
	require.NoError(t, err)
	again, err := schemas.DecodeEvent(wire)
	require.NoError(t, err)
	require.Equal(t, want, again.Extensions)
	require.Equal(t, "e1", again.ID)
}

// TestEvent_PayloadOfEarlierRelease reads an event as releases without extensions wrote it.
func TestEvent_PayloadOfEarlierRelease(t *testing.T) {
	t.Parallel()
	const old = `{"specversion":"1.0","id":"e1","source":"s","type":"hookturn.step.requested","time":"2026-11-20T12:00:00Z",` +
		`"subject":"c","data":{"step":"S","params":{"a":"<&>"}}}`
	var e schemas.Event
	require.NoError(t, json.Unmarshal([]byte(old), &e))
	require.Nil(t, e.Extensions)
	raw, err := schemas.Marshal(e)
	require.NoError(t, err)
	require.Equal(t, old, string(raw))
}

// TestDecodeEnvelope_IdsAsTheyCame keeps two ids apart that encoding/json makes one of.
func TestDecodeEnvelope_IdsAsTheyCame(t *testing.T) {
	t.Parallel()
	const template = `{"id":"ID","type":"hookturn.step.requested","subject":"c","data":5}`
	e, ok := schemas.DecodeEnvelope([]byte("\uFEFF" + strings.Replace(template, "ID", "e1", 1)))
	require.True(t, ok)
	require.Equal(t, "e1", e.ID)
	for _, id := range []string{`e\ud800`, `e\udc00`, `e\u0000`, ``} {
		_, ok := schemas.DecodeEnvelope([]byte(strings.Replace(template, "ID", id, 1)))
		require.False(t, ok, id)
	}
}
