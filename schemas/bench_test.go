package schemas_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

// kilobyte is an event of about 1 KB, the size that a bot engine sends.
func kilobyte(b *testing.B) []byte {
	b.Helper()
	e, err := schemas.DecodeEvent(eventVector(b, "good_step_full"))
	require.NoError(b, err)
	e.Data.Variables["note"] = strings.Repeat("Where is my order? ", 8)
	raw, err := e.Encode()
	require.NoError(b, err)
	require.InDelta(b, 1024, len(raw), 100)
	return raw
}

func BenchmarkDecodeEvent(b *testing.B) {
	raw := kilobyte(b)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := schemas.DecodeEvent(raw); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeEventLarge has an event of 1 MiB, most of it in one deep and one wide value.
func BenchmarkDecodeEventLarge(b *testing.B) {
	raw := bytes.Replace(kilobyte(b), []byte(`"params":{`), []byte(`"params":{"wide":[`+
		strings.Repeat(`{"k":"v","n":[1,2]},`, 50000)+`0],`), 1)
	require.LessOrEqual(b, len(raw), schemas.MessageMax)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := schemas.DecodeEvent(raw); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkUnmarshalEvent is the lenient reader of the standard library on the same event, for comparison.
func BenchmarkUnmarshalEvent(b *testing.B) {
	raw := kilobyte(b)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		var e schemas.Event
		if err := json.Unmarshal(raw, &e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewReply(b *testing.B) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	data := schemas.StepReplied{EventID: "e1", Step: "S", Outcome: schemas.OutcomeSuccess,
		Messages: []schemas.Message{schemas.Text("Your speaker is on its way.")},
		Attempts: []schemas.Attempt{{N: 1, Started: at, URL: "https://test.example/bot/orders", Status: 200, TotalMs: 42}}}
	b.ReportAllocs()
	for b.Loop() {
		r, err := schemas.NewReply(schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c-42"), "e1", schemas.TypeStepReplied, at, data)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := r.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}
