package loyjoy_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/dialect/dialecttest"
	"github.com/hookturn/hookturn/internal/dialect/loyjoy"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

func full() dialect.Context {
	return dialect.Context{
		Plan: bot.Plan{
			BotID: schemas.BotID{Tenant: "default", Bot: "shop"}, Step: "AREA",
			Webhook: &bot.Webhook{Params: map[string]json.RawMessage{
				"city":   json.RawMessage(`"in ${city}, ${unknown}${city}"`),
				"nested": json.RawMessage(`{"list":["${length}",1.50,true,null],"${city}":"<b>"}`),
				"both":   json.RawMessage(`"configured"`),
			}},
		},
		Event: schemas.Event{
			ID: "e1", Subject: "c-42", TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
			Data: schemas.EventData{Params: map[string]json.RawMessage{
				"referrer": json.RawMessage(`"https://shop.example/${city}"`), "both": json.RawMessage(`"browser"`),
			}},
		},
		Variables: map[string]string{"length": "12", "city": `Bre"men`},
	}
}

func TestLoyJoy_Conformance(t *testing.T) {
	t.Parallel()
	dialecttest.Run(t, loyjoy.New(), dialecttest.Fixtures{
		Context: full(), Good: []byte(`{"data":{"variables":{"area":"18","list":[1,"a"],"gone":null}}}`), TakesEmpty: true,
	})
}

func TestLoyJoy_Request(t *testing.T) {
	t.Parallel()
	r, err := loyjoy.New().Encode(full())
	require.NoError(t, err)
	require.Equal(t, `{"process_definition_id":"`+definitionOf(t, full())+`","process_instance_id":"`+instanceOf(t, full())+`",`+
		`"params":{"both":"configured","city":"in Bre\"men, Bre\"men","nested":{"${city}":"<b>","list":["12",1.50,true,null]},`+
		`"referrer":"https://shop.example/${city}"},"variables":{"city":"Bre\"men","length":"12"}}`, string(r.Body))
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", r.Header.Get("X-B3-TraceId"))
}

func TestLoyJoy_EmptyContext(t *testing.T) {
	t.Parallel()
	r, err := loyjoy.New().Encode(dialect.Context{Plan: bot.Plan{Webhook: &bot.Webhook{}}, Event: schemas.Event{ID: "e1"}})
	require.NoError(t, err)
	require.Contains(t, string(r.Body), `"params":{},"variables":{}}`)
	require.Regexp(t, "^[0-9a-f]{32}$", r.Header.Get("X-B3-TraceId"), "a trace id of its own where the event has none")
}

func TestLoyJoy_ProcessIDs(t *testing.T) {
	t.Parallel()
	other := full()
	other.Event.Subject = "c-43"
	require.Equal(t, definitionOf(t, full()), definitionOf(t, other))
	require.NotEqual(t, instanceOf(t, full()), instanceOf(t, other))
	tenant := full()
	tenant.Plan.BotID = schemas.BotID{Tenant: "defaults", Bot: "hop"} // the same letters, divided otherwise
	require.NotEqual(t, definitionOf(t, full()), definitionOf(t, tenant))
	require.NotEqual(t, instanceOf(t, full()), instanceOf(t, tenant))
}

// TestEncode_Round checks that each round of a conversation has its own instance, the same for all its steps.
func TestEncode_Round(t *testing.T) {
	t.Parallel()
	first, second := full(), full()
	first.Round, second.Round = "e1", "e7"
	require.NotEqual(t, instanceOf(t, first), instanceOf(t, second))
	require.NotEqual(t, instanceOf(t, full()), instanceOf(t, first))
	require.Equal(t, definitionOf(t, first), definitionOf(t, second))
	later := first
	later.Event.ID = "e2"
	require.Equal(t, instanceOf(t, first), instanceOf(t, later))
	elsewhere := first
	elsewhere.Event.Subject = "c-43"
	require.NotEqual(t, instanceOf(t, first), instanceOf(t, elsewhere))
}

// TestEncode_ParamsStay sends the browser's params of an earlier event beside those of this one; the configured ones win.
func TestEncode_ParamsStay(t *testing.T) {
	t.Parallel()
	c := full()
	c.Params = map[string]json.RawMessage{
		"user-agent": json.RawMessage(`"${city}"`), "referrer": json.RawMessage(`"old"`), "both": json.RawMessage(`"old"`),
	}
	r, err := loyjoy.New().Encode(c)
	require.NoError(t, err)
	require.Contains(t, string(r.Body), `"both":"configured"`)
	require.Contains(t, string(r.Body), `"referrer":"https://shop.example/${city}","user-agent":"${city}"}`)
}

func definitionOf(t *testing.T, c dialect.Context) string {
	t.Helper()
	return decoded(t, c)["process_definition_id"].(string)
}

func instanceOf(t *testing.T, c dialect.Context) string {
	t.Helper()
	return decoded(t, c)["process_instance_id"].(string)
}

func decoded(t *testing.T, c dialect.Context) map[string]any {
	t.Helper()
	r, err := loyjoy.New().Encode(c)
	require.NoError(t, err)
	var body map[string]any
	require.NoError(t, json.Unmarshal(r.Body, &body))
	return body
}

func TestLoyJoy_Answers(t *testing.T) {
	t.Parallel()
	text := func(s string) *string { return &s }
	for name, c := range map[string]struct {
		body string
		want map[string]*string
	}{
		"nothing":        {"", nil},
		"white space":    {" \r\n", nil},
		"no data":        {`{"other":1}`, nil},
		"data is null":   {`{"data":null}`, nil},
		"no variables":   {`{"data":{"other":1}}`, nil},
		"no variable":    {`{"data":{"variables":{}}}`, map[string]*string{}},
		"strings":        {`{"data":{"variables":{"a":"18","b":""}}}`, map[string]*string{"a": text("18"), "b": text("")}},
		"list as string": {`{"data":{"variables":{"a":"[\"x\",\"y\"]"}}}`, map[string]*string{"a": text(`["x","y"]`)}},
		"other types": {
			`{"data":{"variables":{"n":1.50,"t":true,"l":[1, "<"],"o":{"a": null},"gone":null}}}`,
			map[string]*string{"n": text("1.50"), "t": text("true"), "l": text(`[1,"<"]`), "o": text(`{"a":null}`), "gone": nil},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := loyjoy.New().Decode(full(), []byte(c.body))
			require.NoError(t, err)
			require.True(t, got.Success)
			require.Equal(t, c.want, got.Variables)
			require.Empty(t, got.Messages)
		})
	}
}

func TestLoyJoy_BadAnswersSayWhere(t *testing.T) {
	t.Parallel()
	for body, place := range map[string]string{
		`{"data":[]}`:                `data is of the type array`,
		`{"data":{"variables":"x"}}`: `data.variables is of the type string`,
	} {
		_, err := loyjoy.New().Decode(full(), []byte(body))
		require.Equal(t, fault.BadResponse, fault.Of(err).Kind)
		require.ErrorContains(t, err, place)
	}
}
