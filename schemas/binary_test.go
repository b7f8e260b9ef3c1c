package schemas

import (
	"encoding/json"
	"errors"
	"maps"
	"testing"

	"github.com/stretchr/testify/require"
)

func binaryHeader(change map[string][]string) map[string][]string {
	header := map[string][]string{
		"ce-specversion": {"1.0"}, "ce-id": {"e-1"}, "ce-source": {"/engine"}, "ce-type": {TypeStepRequested},
		"Ce-Time": {"2026-11-20T12:00:00Z"}, "ce-subject": {"c%20%C3%BC"}, "ce-tier": {"gold"},
		"content-type": {"application/json"}, "Nats-Msg-Id": {"m-1"},
	}
	maps.Copy(header, change)
	return header
}

func TestFromBinary_IsTheStructuredEvent(t *testing.T) {
	t.Parallel()
	header := binaryHeader(map[string][]string{"ce-datacontenttype": {"application/json; charset=utf-8"}})
	require.True(t, IsBinary(header))
	document, err := FromBinary(header, []byte("\uFEFF {\"step\":\"ORDER_STATUS\",\"params\":{\"n\":12345678901234567890}}\n"))
	require.NoError(t, err)
	event, err := DecodeEvent(document)
	require.NoError(t, err)
	require.Equal(t, []string{"e-1", "c ü", "ORDER_STATUS"}, []string{event.ID, event.Subject, event.Data.Step})
	require.Equal(t, "12345678901234567890", string(event.Data.Params["n"]), "the data keeps its bytes")
	require.Equal(t, json.RawMessage(`"gold"`), event.Extensions["tier"])
}

func TestIsBinary_Headers(t *testing.T) {
	t.Parallel()
	require.False(t, IsBinary(nil))
	require.False(t, IsBinary(map[string][]string{"Nats-Msg-Id": {"1"}, "traceparent": {"x"}}))
	structured := binaryHeader(map[string][]string{"content-type": {"application/cloudevents+json"}})
	require.False(t, IsBinary(structured), "the content type decides when both are there")
}

// TestFromBinary_Values: a header is a percent-encoded value, or a quoted string around one, as HTTP has it.
func TestFromBinary_Values(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		`Euro%20%E2%82%AC%20%f0%9f%98%80`: "Euro € 😀",
		`%41`:                             "A",
		`%2525`:                           "%25",
		`"Euro %E2%82%AC"`:                "Euro €",
		`"a \"quoted\" \\ word"`:          `a "quoted" \ word`,
		`""`:                              "",
		" \tgold ":                        "gold",
		`say "hello"`:                     `say "hello"`,
		`"one" "two"`:                     `"one" "two"`,
		`"open`:                           `"open`,
		`"open\"`:                         `"open\"`,
		`"`:                               `"`,
		`a%22b`:                           `a"b`,
		`"a%22"`:                          `a"`,
	} {
		document, err := FromBinary(binaryHeader(map[string][]string{"ce-note": {header}}), []byte(`{"step":"X"}`))
		require.NoError(t, err, header)
		var event struct{ Note string }
		require.NoError(t, json.Unmarshal(document, &event))
		require.Equal(t, want, event.Note, header)
	}
}

// TestFromBinary_Invalid: the other attributes of an event with an error can be read, so that the event can be answered.
func TestFromBinary_Invalid(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		header   map[string][]string
		data     string
		error    string
		nameless bool // it cannot be answered
	}{
		"twice":           {header: map[string][]string{"ce-id": {"a", "b"}}, data: `{}`, error: "ce-id more than once", nameless: true},
		"twice by case":   {header: map[string][]string{"Ce-Id": {"a"}}, data: `{}`, error: "ce-id more than once", nameless: true},
		"extension twice": {header: map[string][]string{"Ce-Tier": {"a"}}, data: `{}`, error: "ce-tier more than once"},
		"percent":         {header: map[string][]string{"ce-x": {"100%"}}, data: `{}`, error: "/x must be UTF-8, percent-encoded"},
		"not UTF-8":       {header: map[string][]string{"ce-x": {"%ff"}}, data: `{}`, error: "/x must be UTF-8"},
		"overlong":        {header: map[string][]string{"ce-x": {"%C0%A0"}}, data: `{}`, error: "/x must be UTF-8"},
		"data as header":  {header: map[string][]string{"ce-data": {"{}"}}, data: `{}`, error: "the body is the data"},
		"another format": {
			header: map[string][]string{"ce-datacontenttype": {"text/plain"}}, data: `hello`,
			error: "/datacontenttype must be application/json",
		},
		"several": {
			header: map[string][]string{"ce-datacontenttype": {"text/plain"}, "ce-x": {"%"}, "ce-y": {"%"}}, data: `{}`,
			error: "/x must be UTF-8",
		},
		"data not JSON":   {data: `{`, error: "/data must be a JSON object"},
		"data of nothing": {data: ``, error: "/data must be a JSON object"},
		"two documents":   {data: `{},"id":"other"`, error: "/data must be a JSON object"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			document, err := FromBinary(binaryHeader(c.header), []byte(c.data))
			require.ErrorContains(t, err, c.error)
			_, ok := errors.AsType[*InvalidError](err)
			require.True(t, ok)
			envelope, ok := DecodeEnvelope(document)
			require.Equal(t, !c.nameless, ok)
			if ok {
				require.Equal(t, []string{"e-1", "c ü"}, []string{envelope.ID, envelope.Subject})
			}
		})
	}
}
