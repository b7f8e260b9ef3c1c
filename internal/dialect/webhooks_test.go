package dialect_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// example is a JSON text of docs/webhooks.md with the comment before it.
type example struct{ label, text string }

var exampleForm = regexp.MustCompile("<!-- (.+) -->\n```json\n((?s:.+?))\n```")

func webhooksPage(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/webhooks.md")
	require.NoError(t, err)
	return string(page)
}

func examples(t *testing.T) []example {
	t.Helper()
	page := webhooksPage(t)
	var all []example
	for _, found := range exampleForm.FindAllStringSubmatch(page, -1) {
		all = append(all, example{found[1], found[2]})
	}
	require.Len(t, all, strings.Count(page, "```json"), "every example has a comment that names it")
	return all
}

func documented() dialect.Set {
	return dialects.New(nil)
}

// exampleContext is the step of the page's examples.
func exampleContext() dialect.Context {
	return dialect.Context{
		Plan: bot.Plan{
			BotID: schemas.BotID{Tenant: "default", Bot: "shop"}, Step: "ORDER_STATUS", Webhook: &bot.Webhook{},
			Env:     map[string]string{"ORDERS_API": "https://orders.test.example"},
			Adapter: &bot.Adapter{Name: "agents", Account: "acc-1", Channel: "CXWebConversations", Host: "shop"},
		},
		Event: schemas.Event{
			SpecVersion: "1.0", ID: "e1", Source: "/engines/shop-bot", Type: schemas.TypeStepRequested,
			Time: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), Subject: "c-42",
			Extensions: map[string]json.RawMessage{"partitionkey": json.RawMessage(`"p-7"`)},
			Data: schemas.EventData{
				Step: "ORDER_STATUS", Params: map[string]json.RawMessage{"referrer": json.RawMessage(`"https://shop.example/x"`)},
			},
		},
		User:           schemas.User{ID: "91", Name: "ann", FullName: "Ann Example", DevicePlatform: 5, Language: "en"},
		ConversationNo: 3, Variables: map[string]string{"length": "12"},
		Entities: map[string][]schemas.Entity{
			"product_name": {{Detection: "message", OriginalText: "speaker", EntityValue: json.RawMessage(`"speaker"`)}},
		},
	}
}

// requestOf encodes the request of a label such as "twoway handover".
func requestOf(t *testing.T, name string) []byte {
	t.Helper()
	c := exampleContext()
	name, kind, _ := strings.Cut(name, " ")
	if name == bot.DialectTwoWay {
		c.Event.Type = schemas.TypeMessageReceived
		c.Event.Data = schemas.EventData{Message: json.RawMessage(`{"type":"text","text":"hello"}`)}
		if kind == "handover" {
			c.Event.Type = schemas.TypeConversationHandover
			c.Event.Data = schemas.EventData{Context: json.RawMessage(`{"skill":"returns"}`)}
		}
	}
	d, err := documented().Get(name)
	require.NoError(t, err)
	r, err := d.Encode(c)
	require.NoError(t, err)
	return r.Body
}

// ids are UUIDs that are computed: the page shows some.
var ids = regexp.MustCompile(`"[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"`)

func TestWebhooksPage_Requests(t *testing.T) {
	t.Parallel()
	count := 0
	for _, e := range examples(t) {
		name, isRequest := strings.CutPrefix(e.label, "request ")
		if !isRequest {
			continue
		}
		count++
		body := requestOf(t, name)
		require.JSONEq(t, ids.ReplaceAllString(e.text, `"id"`), ids.ReplaceAllString(string(body), `"id"`), e.label)
		if component := requestSchemas[name]; component != "" {
			requireDescribed(t, component, body)
		}
	}
	require.Equal(t, 5, count)
}

// requestSchemas and answerSchemas are the components of the OpenAPI document, by dialect.
var (
	requestSchemas = map[string]string{
		"haptik": "HaptikRequest", "loyjoy": "LoyJoyRequest", "twoway": "TwoWayRequest", "plain": "event",
	}
	answerSchemas = map[string]string{"haptik": "HaptikAnswer", "loyjoy": "LoyJoyAnswer", "plain": "PlainAnswer"}
)

func requireDescribed(t *testing.T, component string, body []byte) {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemas.OpenAPI()))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	require.NoError(t, compiler.AddResource("openapi.json", document))
	schema, err := compiler.Compile("openapi.json#/components/schemas/" + component)
	require.NoError(t, err)
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	require.NoError(t, err)
	require.NoError(t, schema.Validate(value), component)
}

func TestWebhooksPage_Answers(t *testing.T) {
	t.Parallel()
	var answer dialect.Answer
	good, bad := 0, 0
	for _, e := range examples(t) {
		kind, name, _ := strings.Cut(e.label, " ")
		name, reason, _ := strings.Cut(name, ": ")
		var err error
		switch kind {
		case "answer", "bad":
			d, missing := documented().Get(name)
			require.NoError(t, missing)
			answer, err = d.Decode(exampleContext(), []byte(e.text))
		case "messages":
			text, failed := schemas.Marshal(answer.Messages)
			require.NoError(t, failed)
			require.JSONEq(t, e.text, string(text))
		case "variables":
			text, failed := schemas.Marshal(answer.Variables)
			require.NoError(t, failed)
			require.JSONEq(t, e.text, string(text))
		}
		switch kind {
		case "answer":
			good++
			require.NoError(t, err, e.label)
			require.Nil(t, answer.Problem)
			requireDescribed(t, answerSchemas[name], []byte(e.text))
		case "bad":
			bad++
			require.Equal(t, fault.BadResponse, fault.Of(err).Kind, e.label)
			require.ErrorContains(t, err, reason)
		}
	}
	require.Equal(t, []int{3, 2}, []int{good, bad})
}

// TestWebhooksPage_Defaults holds the page's table against a bot file that leaves everything out.
func TestWebhooksPage_Defaults(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shop.yaml"), []byte(`
bot: shop
bot_break: {default: "Sorry."}
base_urls: {test: "https://test.example"}
secrets: {signing: {secret: signing}}
steps:
  HAPTIK: {webhook: {path: /a, dialect: haptik, secret: signing}}
  LOYJOY: {webhook: {path: /a, dialect: loyjoy}}
  PLAIN: {webhook: {path: /a, dialect: plain, secret: signing}}
adapters:
  agents: {account: a, message_endpoint: {url: "https://test.example/a"}}
`), 0o600))
	set, err := bot.Load(dir, bot.Options{Dialects: dialects.Specs(), WithoutSecrets: true})
	require.NoError(t, err)
	shop, ok := set.Bot(schemas.BotID{Tenant: "default", Bot: "shop"})
	require.True(t, ok)
	page := webhooksPage(t)
	for step, name := range map[string]string{"HAPTIK": "haptik", "LOYJOY": "loyjoy", "PLAIN": "plain"} {
		plan, err := shop.Plan(step)
		require.NoError(t, err)
		requireRow(t, page, name, plan)
	}
	adapter, ok := shop.Adapter("agents")
	require.True(t, ok)
	plan, ok := adapter.Plan(schemas.TypeMessageReceived)
	require.True(t, ok)
	requireRow(t, page, "twoway", plan)
}

// requireRow checks that the page has the row of a dialect with the values of its plan.
func requireRow(t *testing.T, page, name string, plan bot.Plan) {
	t.Helper()
	w := plan.Webhook
	d, err := documented().Get(name)
	require.NoError(t, err)
	good := "200"
	if d.GoodStatus(204) {
		good = "2xx"
	}
	signature := "none"
	if len(w.Signature) > 0 {
		signature = strings.Join(w.Signature, ", ")
	}
	attempts, err := json.Marshal(w.Retry.MaxAttempts)
	require.NoError(t, err)
	row := "| " + strings.Join([]string{
		name, good, w.Timeout.D().String(), w.AttemptTimeout.D().String(), string(attempts), plan.OnFailure, signature,
	}, " | ") + " |\n"
	require.Contains(t, page, row)
}
