package step

import (
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"

	"github.com/hookturn/hookturn/schemas"
)

// DataConverter writes payloads as the SDK does, but for JSON's HTML escapes: they make six bytes of every "<", and an event
// of a megabyte must stay below the two that Temporal takes.
func DataConverter() converter.DataConverter {
	return converter.NewCompositeDataConverter(
		converter.NewNilPayloadConverter(),
		converter.NewByteSlicePayloadConverter(),
		converter.NewProtoJSONPayloadConverter(),
		converter.NewProtoPayloadConverter(),
		plainJSON{converter.NewJSONPayloadConverter()},
	)
}

// plainJSON is the SDK's JSON converter without HTML escapes. What it writes, the SDK's own reads, and the other way round.
type plainJSON struct {
	*converter.JSONPayloadConverter
}

// ToPayload converts a value to a payload.
func (c plainJSON) ToPayload(value any) (*commonpb.Payload, error) {
	data, err := schemas.Marshal(value)
	if err != nil {
		return nil, err
	}
	return &commonpb.Payload{
		Metadata: map[string][]byte{converter.MetadataEncoding: []byte(c.Encoding())}, Data: data,
	}, nil
}
