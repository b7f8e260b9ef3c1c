package schemas_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

func eventVector(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "events", name+".txt"))
	require.NoError(t, err)
	_, payload, found := strings.Cut(string(raw), "\n---\n")
	require.True(t, found)
	return []byte(payload)
}

func TestDecodeEvent_KeepsEverything(t *testing.T) {
	t.Parallel()
	raw := eventVector(t, "good_step_full")
	e, err := schemas.DecodeEvent(raw)
	require.NoError(t, err)

	expiry := time.Date(2026, 11, 20, 12, 5, 0, 0, time.UTC)
	want := schemas.Event{
		SpecVersion: "1.0", ID: "e1", Source: "/engines/shop-bot", Type: schemas.TypeStepRequested,
		Time: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), Subject: "c-42", DataContentType: "application/json",
		TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", TraceState: "vendor=1", ExpiryTime: &expiry,
		Data: schemas.EventData{
			Step: "ORDER_STATUS",
			User: &schemas.User{ID: "91", Name: "u91", FullName: "Ann Example", DevicePlatform: 5, Language: "en-GB",
				AuthID: "a", AuthCode: "b"},
			ConversationNo: 3,
			Entities: map[string][]schemas.Entity{
				"product_name": {{Detection: "message", OriginalText: "speaker", EntityValue: json.RawMessage(`"speaker"`)}},
				"size":         {{Detection: "message", OriginalText: "XL", EntityValue: e.Data.Entities["size"][0].EntityValue}},
			},
			Variables: map[string]string{"cart": "17"},
			Params: map[string]json.RawMessage{"referrer": json.RawMessage(`"https://shop.example/x"`),
				"n": json.RawMessage("1"), "nothing": json.RawMessage("null")},
			Message: e.Data.Message,
		},
	}
	require.Equal(t, want, e)
	require.JSONEq(t, `{"value":"XL","rank":1}`, string(e.Data.Entities["size"][0].EntityValue))
	require.JSONEq(t, `{"type":"text","text":"where is it?"}`, string(e.Data.Message))
}

// TestDecodeEvent_MatchesStandardLibrary compares with encoding/json, which does not validate events but reads values right.
func TestDecodeEvent_MatchesStandardLibrary(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"good_step_full", "good_escapes", "good_numbers_kept", "good_entity_values",
		"good_time_fraction_offset", "good_white_space", "good_subject_any_text", "good_entities_collected"} {
		raw := eventVector(t, name)
		got, err := schemas.DecodeEvent(raw)
		require.NoError(t, err)
		var want schemas.Event
		require.NoError(t, json.Unmarshal(raw, &want))
		gotRaw, err := got.Encode()
		require.NoError(t, err)
		wantRaw, err := want.Encode()
		require.NoError(t, err)
		require.Equal(t, string(wantRaw), string(gotRaw), name)
	}
}

func TestDecodeEvent_KeepsNumbersAsText(t *testing.T) {
	t.Parallel()
	e, err := schemas.DecodeEvent(eventVector(t, "good_numbers_kept"))
	require.NoError(t, err)
	require.Equal(t, "123456789012345678901234567890", string(e.Data.Params["big"]))
	require.Equal(t, "1.0e-400", string(e.Data.Params["tiny"]))
	require.Equal(t, "-0E+5", string(e.Data.Params["exp"]))

	e, err = schemas.DecodeEvent(eventVector(t, "good_integer_as_float"))
	require.NoError(t, err)
	require.Equal(t, int64(3), e.Data.ConversationNo)
	require.Equal(t, 5, e.Data.User.DevicePlatform)
}

func TestDecodeEvent_Nulls(t *testing.T) {
	t.Parallel()
	e, err := schemas.DecodeEvent(eventVector(t, "good_nulls"))
	require.NoError(t, err)
	require.Equal(t, schemas.EventData{Step: "S"}, e.Data)
	require.Nil(t, e.ExpiryTime)

	e, err = schemas.DecodeEvent(eventVector(t, "good_nulls_inside"))
	require.NoError(t, err)
	require.Equal(t, &schemas.User{}, e.Data.User)
	require.NotContains(t, e.Data.Entities, "otp", "a null entity was not collected")
	require.Equal(t, "null", string(e.Data.Entities["x"][0].EntityValue), "a null value is a value")
	require.Empty(t, e.Data.Variables)
}

func TestDecodeEvent_PassesOver(t *testing.T) {
	t.Parallel()
	e, err := schemas.DecodeEvent(eventVector(t, "good_members_of_other_types"))
	require.NoError(t, err)
	require.Equal(t, schemas.EventData{Reason: "r"}, e.Data)

	e, err = schemas.DecodeEvent(eventVector(t, "good_traceparent_unreadable"))
	require.NoError(t, err)
	require.Empty(t, e.TraceParent)
	require.Empty(t, e.TraceState)
}

func TestDecodeEvent_SharesNoMemory(t *testing.T) {
	t.Parallel()
	raw := eventVector(t, "good_step_full")
	e, err := schemas.DecodeEvent(raw)
	require.NoError(t, err)
	before, err := e.Encode()
	require.NoError(t, err)
	for i := range raw {
		raw[i] = 'x'
	}
	after, err := e.Encode()
	require.NoError(t, err)
	require.Equal(t, string(before), string(after))
}

func TestDecodeEvent_Size(t *testing.T) {
	t.Parallel()
	raw := eventVector(t, "good_minimal")
	full := append(raw, strings.Repeat(" ", schemas.MessageMax-len(raw))...)
	_, err := schemas.DecodeEvent(full)
	require.NoError(t, err)
	_, err = schemas.DecodeEvent(append(full, ' '))
	require.EqualError(t, err, "event is 1048577 bytes long, at most 1048576 are allowed")
}

// TestDecodeEvent_RefusesEveryPrefix cuts an event everywhere: none of the pieces may pass, or panic.
func TestDecodeEvent_RefusesEveryPrefix(t *testing.T) {
	t.Parallel()
	raw := []byte(strings.TrimSpace(string(eventVector(t, "good_step_full"))))
	for n := range raw {
		_, err := schemas.DecodeEvent(raw[:n])
		var bad *schemas.InvalidError
		require.ErrorAs(t, err, &bad, "%d bytes", n)
	}
}

// TestDecode_ErrorsHoldNoContent puts one word into every place that a value can have, and looks for it in every error.
func TestDecode_ErrorsHoldNoContent(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	template := `{"specversion":%q,"id":%q,"source":"s","type":%q,"time":%q,"subject":"c","expirytime":%q,
		"data":{"step":%q,"user":%q,"entities":%q,"variables":%q,"params":%q,"conversation_no":%q,"message":%q}}`
	values := []any{"1.0", "e1", schemas.TypeStepRequested, "2026-11-20T12:00:00Z", "2026-11-20T12:00:00Z", "S"}
	for len(values) < 12 {
		values = append(values, nil)
	}
	for i := range values {
		args := make([]any, len(values))
		for j, v := range values {
			args[j] = v
			if v == nil {
				args[j] = "x"
			}
		}
		args[i] = secret + "\n\x01"
		_, err := schemas.DecodeEvent(fmt.Appendf(nil, template, args...))
		require.Error(t, err)
		require.NotContains(t, err.Error(), secret)
	}
	for _, raw := range []string{secret, `{"id":` + secret + `}`, `{"id":"` + secret, `{"id":"a"` + secret + `}`,
		`{"id":"\` + secret + `"}`, `["` + secret + `"]`} {
		_, err := schemas.DecodeEvent([]byte(raw))
		require.Error(t, err)
		require.NotContains(t, err.Error(), secret)
	}
}

// TestDecode_ErrorsFitAHeader makes sure that names from the message cannot break the line or fill the header.
func TestDecode_ErrorsFitAHeader(t *testing.T) {
	t.Parallel()
	for _, name := range []string{`a\r\nEvil: 1`, `\u001b[2J`, `\u2028`, `\u202e`, strings.Repeat("n", 5000),
		strings.Repeat("日", 5000)} {
		raw := `{"specversion":"1.0","id":"e1","source":"s","type":"hookturn.step.requested","time":"2026-11-20T12:00:00Z",
			"subject":"c","data":{"step":"S","variables":{"` + name + `":1}}}`
		_, err := schemas.DecodeEvent([]byte(raw))
		require.ErrorContains(t, err, "must be a string, not a number")
		require.Less(t, len(err.Error()), 300)
		require.NotRegexp(t, "[\x00-\x1f\x7f\u2028\u202e]", err.Error())
		require.True(t, json.Valid([]byte(`"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(err.Error())+`"`)))
	}
}
