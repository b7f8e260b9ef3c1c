package app

import (
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/hookturn/hookturn/internal/codec"
	"github.com/hookturn/hookturn/internal/step"
)

// WithPayloadKeys returns the configuration with the converters of its payload keys: they encrypt every payload, the
// messages and stack traces of failures included. Without keys payloads travel in clear.
func (c Config) WithPayloadKeys() (Config, error) { return c.withPayloadKeys(false) }

// withPayloadKeys has one more option: in a worker a missing key blocks a workflow task instead of failing it.
func (c Config) withPayloadKeys(blocking bool) (Config, error) {
	if c.PayloadKeys == "" {
		return c, nil
	}
	encrypting, err := codec.New(c.PayloadKeys, c.Log)
	if err != nil {
		return c, err
	}
	encrypting.Blocking = blocking
	c.Temporal.DataConverter = converter.NewCodecDataConverter(step.DataConverter(), encrypting)
	c.Temporal.FailureConverter = temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
		DataConverter: c.Temporal.DataConverter, EncodeCommonAttributes: true,
	})
	return c, nil
}

// payloads returns the converter of everything that goes to Temporal.
func (c Config) payloads() converter.DataConverter {
	if c.Temporal.DataConverter == nil {
		return step.DataConverter()
	}
	return c.Temporal.DataConverter
}

// PayloadCodec returns the codec of the payload keys, nil when payloads are in clear.
func (c Config) PayloadCodec() (converter.PayloadCodec, error) {
	if c.PayloadKeys == "" {
		return nil, nil
	}
	return codec.New(c.PayloadKeys, c.Log)
}

// NamespaceOf returns the namespace of Temporal that a configuration names.
func NamespaceOf(c Config) string { return c.withDefaults().Temporal.Namespace }
