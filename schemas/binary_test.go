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

func TestFromBinary_Invalid(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		header map[string][]string
		data   string
		error  string
	}{
		"twice":           {map[string][]string{"ce-id": {"a", "b"}}, `{}`, "ce-id more than once"},
		"twice by case":   {map[string][]string{"Ce-Id": {"a"}}, `{}`, "ce-id more than once"},
		"percent":         {map[string][]string{"ce-x": {"%zz"}}, `{}`, "/x must be UTF-8, percent-encoded"},
		"not UTF-8":       {map[string][]string{"ce-x": {"%ff"}}, `{}`, "/x must be UTF-8"},
		"data as header":  {map[string][]string{"ce-data": {"{}"}}, `{}`, "the body is the data"},
		"another format":  {map[string][]string{"ce-datacontenttype": {"text/plain"}}, `{}`, "/datacontenttype must be application/json"},
		"data not JSON":   {nil, `{`, "/data must be a JSON object"},
		"data of nothing": {nil, ``, "/data must be a JSON object"},
		"two documents":   {nil, `{},"id":"other"`, "/data must be a JSON object"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			document, err := FromBinary(binaryHeader(c.header), []byte(c.data))
			require.ErrorContains(t, err, c.error)
			_, ok := errors.AsType[*InvalidError](err)
			require.True(t, ok)
			if c.header == nil {
				envelope, ok := DecodeEnvelope(document)
				require.True(t, ok, "an event whose data is wrong can be answered")
				require.Equal(t, []string{"e-1", "c ü"}, []string{envelope.ID, envelope.Subject})
			}
		})
	}
}
