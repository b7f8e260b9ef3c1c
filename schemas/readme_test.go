package schemas_test

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

// fenced finds the blocks of a language in a Markdown document.
func fenced(document, language string) []string {
	var blocks []string
	for _, found := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(document, -1) {
		blocks = append(blocks, found[1])
	}
	return blocks
}

// TestReadme_SamplesAreValid holds the event, the reply and the bot file of the README against the schemas: a reader copies them.
func TestReadme_SamplesAreValid(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	count := map[string]int{}
	var eventID string
	for _, block := range fenced(string(text), "json") {
		kind := jsonMap(t, []byte(block))["type"]
		name := "reply"
		if slices.ContainsFunc(schemas.EventTypes(), func(known string) bool { return kind == known }) {
			name = "event"
			event, err := schemas.DecodeEvent([]byte(block))
			require.NoError(t, err)
			eventID = event.ID
		} else {
			require.Contains(t, schemas.ReplyTypes(), kind)
			require.Equal(t, eventID, jsonMap(t, []byte(block))["data"].(map[string]any)["event_id"], "the reply is that of the event above it")
			require.Equal(t, schemas.ReplyID(schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c-42"), eventID, schemas.TypeStepReplied),
				jsonMap(t, []byte(block))["id"], "the id is the one that hookturn gives")
		}
		require.NoError(t, validateJSON(schema(t, name), []byte(block)), block)
		count[name]++
	}
	for _, block := range fenced(string(text), "yaml") {
		require.NoError(t, validateYAML(schema(t, "botfile"), []byte(block)), block)
		count["botfile"]++
	}
	require.Equal(t, map[string]int{"event": 1, "reply": 1, "botfile": 1}, count)
}

func TestReadme_CanFail(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"{}\n", "[]\n"}, fenced("a\n```json\n{}\n```\nb\n```yaml\nx: 1\n```\n```json\n[]\n```\n", "json"))
	require.Error(t, validateJSON(schema(t, "reply"), []byte(`{"specversion":"1.0","type":"hookturn.step.replied","data":{}}`)))
}
