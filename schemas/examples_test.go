package schemas_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

// TestExamples_BotFiles holds that editors find the schema of every example's bot file, and nothing wrong by it.
func TestExamples_BotFiles(t *testing.T) {
	t.Parallel()
	want, err := filepath.Abs(filepath.Join("json", "botfile.json"))
	require.NoError(t, err)
	count := 0
	err = filepath.WalkDir("../examples", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		count++
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		line, _, _ := strings.Cut(string(raw), "\n")
		reference, found := strings.CutPrefix(line, "# yaml-language-server: $schema=")
		require.True(t, found, "%s begins with %q", path, line)
		got, err := filepath.Abs(filepath.Join(filepath.Dir(path), reference))
		require.NoError(t, err)
		require.Equal(t, want, got, path)
		require.NoError(t, validateYAML(schema(t, schemas.SchemaBotFile), raw), path)
		return nil
	})
	require.NoError(t, err)
	require.NotZero(t, count)
}

// An engine checks what it is about to publish with the same function as hookturn.
func ExampleDecodeEvent() {
	event, err := schemas.DecodeEvent([]byte(`{"specversion":"1.0","id":"e1","source":"/engines/shop-bot",
		"type":"hookturn.step.requested","time":"2026-11-20T12:00:00Z","subject":"c-42",
		"data":{"step":"ORDER_STATUS","entities":{"product_name":[
			{"detection":"message","original_text":"speaker","entity_value":"speaker"}]}}}`))
	fmt.Println(event.Data.Step, string(event.Data.Entities["product_name"][0].EntityValue), err)

	_, err = schemas.DecodeEvent([]byte(`{"specversion":"1.0","id":"e2","source":"/engines/shop-bot",
		"type":"hookturn.step.requested","time":"2026-11-20T12:00:00Z","subject":"c-42","data":{}}`))
	fmt.Println(err)
	// Output:
	// ORDER_STATUS "speaker" <nil>
	// /data/step is required in data of hookturn.step.requested
}

// An event is published on the subject of its conversation, whose token is the conversation's id when that is a token.
func ExampleEvent_Encode() {
	shop := schemas.BotID{Tenant: "default", Bot: "shop"}
	event := schemas.Event{
		SpecVersion: "1.0", ID: "e1", Source: "/engines/shop-bot", Type: schemas.TypeConversationEnded,
		Time: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), Subject: "+49 30 1234",
		Data: schemas.EventData{Reason: "user_left"},
	}
	raw, err := event.Encode()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(schemas.Subject(schemas.SubjectEvents, shop.WithConversation(schemas.ConversationToken(event.Subject))))
	fmt.Println(string(raw))
	// Output:
	// hookturn.events.default.shop.xe1ffb21a17328586572df84286e5f576
	// {"specversion":"1.0","id":"e1","source":"/engines/shop-bot","type":"hookturn.conversation.ended","time":"2026-11-20T12:00:00Z","subject":"+49 30 1234","data":{"reason":"user_left"}}
}
