package schemas_test

import (
	"encoding/json"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

// asyncAPI is the AsyncAPI document as JSON has it.
func asyncAPI(t *testing.T) map[string]any {
	t.Helper()
	var doc any
	require.NoError(t, yaml.Unmarshal(schemas.AsyncAPI(), &doc))
	raw, err := json.Marshal(doc)
	require.NoError(t, err)
	return jsonMap(t, raw)
}

// at is the value at a path of keys.
func at(t *testing.T, node any, keys ...string) any {
	t.Helper()
	for _, key := range keys {
		m, ok := node.(map[string]any)
		require.True(t, ok, key)
		require.Contains(t, m, key)
		node = m[key]
	}
	return node
}

func keysOf(t *testing.T, node any) []string {
	t.Helper()
	m, ok := node.(map[string]any)
	require.True(t, ok)
	return slices.Sorted(maps.Keys(m))
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

func TestAsyncAPI_References(t *testing.T) {
	t.Parallel()
	doc := asyncAPI(t)
	files := map[string]any{}
	count := 0
	var walk func(node any)
	walk = func(node any) {
		switch v := node.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				count++
				requireResolves(t, doc, files, ref)
			}
			for _, child := range v {
				walk(child)
			}
		case []any:
			for _, child := range v {
				walk(child)
			}
		}
	}
	walk(doc)
	require.Greater(t, count, 40)
}

// requireResolves follows a reference into the document or into one of the embedded schemas.
func requireResolves(t *testing.T, doc any, files map[string]any, ref string) {
	t.Helper()
	file, fragment, _ := strings.Cut(ref, "#")
	node := doc
	if file != "" {
		if _, ok := files[file]; !ok {
			raw, err := fs.ReadFile(schemas.FS, path.Clean(file))
			require.NoError(t, err, ref)
			files[file] = jsonMap(t, raw)
		}
		node = files[file]
	}
	for _, key := range strings.Split(fragment, "/")[1:] {
		switch v := node.(type) {
		case map[string]any:
			require.Contains(t, v, key, ref)
			node = v[key]
		case []any:
			i, err := strconv.Atoi(key)
			require.NoError(t, err, ref)
			require.Less(t, i, len(v), ref)
			node = v[i]
		default:
			t.Fatalf("%s does not resolve", ref)
		}
	}
}

func TestAsyncAPI_Channels(t *testing.T) {
	t.Parallel()
	doc := asyncAPI(t)
	require.Equal(t, "3.0.0", at(t, doc, "asyncapi"))
	for name, want := range map[string]struct {
		root, stream string
		messages     []string
	}{
		"events":      {schemas.SubjectEvents, schemas.StreamEvents, schemas.EventTypes()},
		"replies":     {schemas.SubjectReplies, schemas.StreamReplies, schemas.ReplyTypes()},
		"deadletters": {schemas.SubjectDeadLetters, schemas.StreamDeadLetters, []string{"deadletter"}},
	} {
		channel := at(t, doc, "channels", name)
		require.Equal(t, want.root+".{tenant}.{bot}.{conversation}", at(t, channel, "address"))
		require.Equal(t, []string{"bot", "conversation", "tenant"}, keysOf(t, at(t, channel, "parameters")))
		require.Equal(t, want.stream, at(t, channel, "x-jetstream", "stream"))
		require.Equal(t, sorted(want.messages), keysOf(t, at(t, channel, "messages")))
		for _, message := range want.messages {
			require.Equal(t, "#/components/messages/"+message, at(t, channel, "messages", message, "$ref"))
		}
	}
	require.Equal(t, schemas.AdvisorySubject(schemas.BotID{Tenant: "{tenant}", Bot: "{bot}"}), at(t, doc, "channels", "advisories", "address"))
	require.Equal(t, schemas.NoticeSubject(schemas.BotID{Tenant: "{tenant}", Bot: "{bot}"}, "{class}"), at(t, doc, "channels", "notices", "address"))
	require.Equal(t, schemas.AuditSubject(schemas.BotID{Tenant: "{tenant}", Bot: "{bot}"}, "{action}"), at(t, doc, "channels", "audit", "address"))
	require.Equal(t, schemas.StreamAudit, at(t, doc, "channels", "audit", "x-jetstream", "stream"))
	all := append(append(schemas.EventTypes(), schemas.ReplyTypes()...), "deadletter", "notice", "audit",
		schemas.TypeEndpointChanged, schemas.TypeChannelChanged)
	require.Equal(t, sorted(all), keysOf(t, at(t, doc, "components", "messages")))
}

func TestAsyncAPI_Operations(t *testing.T) {
	t.Parallel()
	doc := asyncAPI(t)
	operations := map[string][2]string{
		"receiveEvents":   {"receive", "events"},
		"sendReplies":     {"send", "replies"},
		"sendDeadLetters": {"send", "deadletters"},
		"sendAdvisories":  {"send", "advisories"},
		"sendNotices":     {"send", "notices"},
		"sendAudit":       {"send", "audit"},
		"receiveNotices":  {"receive", "notices"},
	}
	require.Equal(t, slices.Sorted(maps.Keys(operations)), keysOf(t, at(t, doc, "operations")))
	for name, want := range operations {
		operation := at(t, doc, "operations", name)
		require.Equal(t, want[0], at(t, operation, "action"))
		require.Equal(t, "#/channels/"+want[1], at(t, operation, "channel", "$ref"))
		require.NotEmpty(t, at(t, operation, "bindings", "nats", "bindingVersion"))
	}
}

func TestAsyncAPI_Examples(t *testing.T) {
	t.Parallel()
	doc := asyncAPI(t)
	for name, payloadSchema := range map[string][]string{
		schemas.SchemaEvent: schemas.EventTypes(),
		schemas.SchemaReply: schemas.ReplyTypes(),
	} {
		for _, message := range payloadSchema {
			t.Run(message, func(t *testing.T) {
				t.Parallel()
				m := at(t, doc, "components", "messages", message)
				file, definition, _ := strings.Cut(at(t, m, "payload", "$ref").(string), "#/$defs/")
				require.Equal(t, "json/"+name+".json", file)
				raw, err := schemas.JSONSchema(name)
				require.NoError(t, err)
				require.Equal(t, message, at(t, jsonMap(t, raw), "$defs", definition, "properties", "type", "const"))
				for _, example := range at(t, m, "examples").([]any) {
					payload := at(t, example, "payload")
					require.Equal(t, message, at(t, payload, "type"))
					requireExample(t, schema(t, name), payload)
					if name == schemas.SchemaEvent {
						require.Equal(t, at(t, payload, "id"), at(t, example, "headers", "Nats-Msg-Id"))
					}
				}
			})
		}
	}
	for _, kind := range []string{schemas.TypeEndpointChanged, schemas.TypeChannelChanged} {
		for _, example := range at(t, doc, "components", "messages", kind, "examples").([]any) {
			requireExample(t, schema(t, schemas.SchemaAdvisory), at(t, example, "payload"))
		}
	}
	for _, example := range at(t, doc, "components", "messages", "notice", "examples").([]any) {
		requireExample(t, schema(t, schemas.SchemaNotice), at(t, example, "payload"))
	}
	for _, example := range at(t, doc, "components", "messages", "audit", "examples").([]any) {
		requireExample(t, schema(t, schemas.SchemaAudit), at(t, example, "payload"))
	}
	for _, example := range at(t, doc, "components", "messages", "deadletter", "examples").([]any) {
		requireExample(t, schema(t, schemas.SchemaDeadLetter), at(t, example, "headers"))
	}
}

// requireExample validates an example and, when it is an event, decodes it.
func requireExample(t *testing.T, s *jsonschema.Schema, example any) {
	t.Helper()
	raw, err := json.Marshal(example)
	require.NoError(t, err)
	require.NoError(t, validateJSON(s, raw))
	if s == schema(t, schemas.SchemaEvent) {
		_, err := schemas.DecodeEvent(raw)
		require.NoError(t, err)
	}
}

func TestAsyncAPI_AdvisoriesFollowTheirSchema(t *testing.T) {
	t.Parallel()
	until := time.Now().Add(time.Minute)
	for _, changed := range []schemas.EndpointChanged{
		{URL: "https://shop.example/orders", State: "closed"},
		{URL: "https://shop.example/orders", State: "open", Until: &until, Reason: "connect: connection refused"},
	} {
		raw, err := json.Marshal(schemas.NewAdvisory(schemas.BotID{Tenant: "default", Bot: "shop"}, time.Now(), changed))
		require.NoError(t, err)
		require.NoError(t, validateJSON(schema(t, schemas.SchemaAdvisory), raw))
	}
	made := schemas.ChannelChanged{ID: "6f1b1d3c-6f0e-4a43-9a07-2f2f5f7e2d51", Code: "orders", Action: "created", From: "::1"}
	raw, err := json.Marshal(schemas.NewChannelAdvisory(schemas.BotID{Tenant: "default", Bot: "shop"}, time.Now(), made))
	require.NoError(t, err)
	require.NoError(t, validateJSON(schema(t, schemas.SchemaAdvisory), raw))
	raw, err = json.Marshal(schemas.NewChannelAdvisory(schemas.BotID{Tenant: "default", Bot: "shop"}, time.Now(), schemas.ChannelChanged{Action: "odd"}))
	require.NoError(t, err)
	require.Error(t, validateJSON(schema(t, schemas.SchemaAdvisory), raw))
	raw, err = json.Marshal(schemas.NewAdvisory(schemas.BotID{Tenant: "default", Bot: "shop"}, time.Now(), schemas.EndpointChanged{State: "odd"}))
	require.NoError(t, err)
	require.Error(t, validateJSON(schema(t, schemas.SchemaAdvisory), raw))
}
