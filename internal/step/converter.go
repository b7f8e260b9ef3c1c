package step

import (
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"

	"github.com/hookturn/hookturn/schemas"
)

// DataConverter returns the SDK's data converter without the HTML escapes of JSON: they turn every "<" into six bytes,
// and an event of 1 MiB must stay below the 2 MiB limit of Temporal.
func DataConverter() converter.DataConverter {
	return converter.NewCompositeDataConverter(
		converter.NewNilPayloadConverter(),
		converter.NewByteSlicePayloadConverter(),
		converter.NewProtoJSONPayloadConverter(),
		converter.NewProtoPayloadConverter(),
		plainJSON{converter.NewJSONPayloadConverter()},
	)
}

// plainJSON is the SDK's JSON converter without HTML escapes. It is compatible with the SDK's own in both directions.
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
