package haptik_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/dialect/haptik"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// firstRequest is the body of the first step of an anonymous user, byte for byte.
const firstRequest = `{"step":"ORDER_STATUS","event":"API_INTEGRATION",` +
	`"user":{"user_id":"","user_name":"","full_name":"","device_platform":0,"language_code":"en","auth_id":"","auth_code":""},` +
	`"conversation_no":0,"conversation_details":{},"user_details":{"language_code":"en","name":"Guest User"},` +
	`"entities":{},"env_variables":{}}`

// fullRequest has every member set, with texts that a careless encoder changes.
const fullRequest = `{"step":"ORDER_STATUS","event":"API_INTEGRATION",` +
	`"user":{"user_id":"91","user_name":"u91","full_name":"Zoë <b>&","device_platform":5,"language_code":"hi",` +
	`"auth_id":"a1","auth_code":"c1"},` +
	`"conversation_no":3,"conversation_details":{"order":"A12","n":1.50},"user_details":{"city":"पुणे"},` +
	`"entities":{"amount":[],"order_id":[` +
	`{"detection":"message","original_text":"A12 & B7","entity_value":"A12"},` +
	`{"detection":"message","original_text":"B7","entity_value":{"value":"B7","n":12345678901234567890}}],` +
	`"product_name":[{"detection":"default","original_text":"","entity_value":null}]},` +
	`"env_variables":{"ORDERS_API":"https://orders.test.example?a=1&b=2","ZONE":"eu"}}`

func anonymous() dialect.Context {
	return dialect.Context{Plan: bot.Plan{Dialect: bot.DialectHaptik, Step: "ORDER_STATUS"}}
}

func full() dialect.Context {
	return dialect.Context{
		Plan: bot.Plan{
			Dialect: bot.DialectHaptik,
			Step:    "ORDER_STATUS",
			Env:     map[string]string{"ZONE": "eu", "ORDERS_API": "https://orders.test.example?a=1&b=2"},
		},
		User: schemas.User{
			ID: "91", Name: "u91", FullName: "Zoë <b>&", DevicePlatform: 5, Language: "hi", AuthID: "a1", AuthCode: "c1",
		},
		ConversationNo: 3,
		Entities: map[string][]schemas.Entity{
			"product_name": {{Detection: "default"}},
			"order_id": {
				{Detection: "message", OriginalText: "A12 & B7", EntityValue: json.RawMessage(`"A12"`)},
				{Detection: "message", OriginalText: "B7",
					EntityValue: json.RawMessage("{\"value\": \"B7\",\n \"n\": 12345678901234567890}")},
			},
			"amount":        {},
			"not_collected": nil,
		},
		ConversationDetails: json.RawMessage(`{"order": "A12", "n": 1.50}`),
		UserDetails:         json.RawMessage(`{"city":"पुणे"}`),
	}
}

func TestEncode(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		c    dialect.Context
		want string
	}{
		{"first call", anonymous(), firstRequest},
		{"everything set", full(), fullRequest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			request, err := haptik.New().Encode(tt.c)
			require.NoError(t, err)
			require.Equal(t, tt.want, string(request.Body))
			require.Equal(t, "application/json", request.Header.Get("Content-Type"))
			require.Len(t, request.Header, 1, "no signature and no other header is the dialect's business")
		})
	}
}

// TestEncode_SurvivesHistory encodes values that travelled as JSON: a retry on another worker must send the same bytes.
func TestEncode_SurvivesHistory(t *testing.T) {
	t.Parallel()
	c := full()
	travel(t, &c.Plan)
	travel(t, &c.User)
	travel(t, &c.Entities)
	travel(t, &c.ConversationDetails)
	travel(t, &c.UserDetails)
	request, err := haptik.New().Encode(c)
	require.NoError(t, err)
	requireText(t, fullRequest, request.Body)
}

// travel writes a value to a history and reads it back.
func travel[T any](t *testing.T, value *T) {
	t.Helper()
	text, err := json.Marshal(value)
	require.NoError(t, err)
	var back T
	require.NoError(t, json.Unmarshal(text, &back))
	*value = back
}

// requireText compares byte for byte: what is signed is bytes, not JSON.
func requireText(t *testing.T, want string, got []byte) {
	t.Helper()
	require.Equal(t, want, string(got))
}

func TestEncode_RefusesBrokenValues(t *testing.T) {
	t.Parallel()
	entity, store := anonymous(), anonymous()
	entity.Entities = map[string][]schemas.Entity{"a": {{EntityValue: json.RawMessage(`{"secret`)}}}
	store.ConversationDetails = json.RawMessage(`"secret`)
	for _, c := range []dialect.Context{entity, store} {
		request, err := haptik.New().Encode(c)
		require.Empty(t, request)
		require.Equal(t, fault.BadEvent, fault.Of(err).Kind)
		require.NotContains(t, err.Error(), "secret")
		require.False(t, fault.Of(err).Retryable())
	}
}
