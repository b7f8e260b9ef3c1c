package schemas

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hookturn/hookturn/internal/strictjson"
)

// binaryPrefix begins the headers of an event in binary mode, in lower case.
const binaryPrefix = "ce-"

const (
	attributeContentType = "datacontenttype"
	mediaJSON            = "application/json"
)

// IsBinary reports whether the headers of a message are those of a CloudEvents event in binary mode: one of them is an
// attribute, and the content type does not name structured mode. Names are matched without regard to case.
func IsBinary(header map[string][]string) bool {
	attributes := false
	for name, values := range header {
		lower := strings.ToLower(name)
		if lower == "content-type" && len(values) > 0 &&
			strings.HasPrefix(strings.ToLower(strings.TrimSpace(values[0])), "application/cloudevents") {
			return false
		}
		attributes = attributes || strings.HasPrefix(lower, binaryPrefix)
	}
	return attributes
}

// FromBinary returns the structured form of an event in binary mode: each header ce-<name> is an attribute, percent-encoded
// (bindings of CloudEvents for HTTP and NATS, section 3.1.3), and data is the data, which must be JSON. The error is an
// *InvalidError. When only the data is wrong, the document has every attribute, so that the event can be answered.
func FromBinary(header map[string][]string, data []byte) (json.RawMessage, error) {
	attributes := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(header)) {
		attribute, isAttribute := strings.CutPrefix(strings.ToLower(name), binaryPrefix)
		if !isAttribute {
			continue
		}
		value, err := binaryValue(attribute, header[name])
		if err != nil {
			return nil, err
		}
		if _, twice := attributes[attribute]; twice {
			return nil, invalid("has the header ce-%s more than once", attribute)
		}
		attributes[attribute] = value
	}
	if media, given := attributes[attributeContentType]; given && !isJSONMedia(media) {
		return nil, asInvalid(under(attributeContentType, invalid("must be "+mediaJSON)))
	}
	attributes[attributeContentType] = mediaJSON
	event := map[string]any{}
	for name, value := range attributes {
		event[name] = value
	}
	body := bytes.TrimSpace(strictjson.WithoutBOM(data))
	event["data"] = json.RawMessage(body)
	document, err := Marshal(event)
	if err != nil || len(body) == 0 {
		event["data"] = nil
		if document, err = Marshal(event); err == nil {
			err = asInvalid(under("data", invalid("must be a JSON object: the body of an event in binary mode is its data")))
		}
		return document, err
	}
	return document, nil
}

// binaryValue decodes the header of an attribute.
func binaryValue(attribute string, values []string) (string, error) {
	if attribute == "data" {
		return "", invalid("has the header ce-data, which has no meaning: the body is the data")
	}
	if len(values) != 1 {
		return "", invalid("has the header ce-%s more than once", attribute)
	}
	value, err := url.PathUnescape(values[0])
	if err != nil || !utf8.ValidString(value) {
		return "", asInvalid(under(attribute, invalid("must be UTF-8, percent-encoded, in the header ce-%s", attribute)))
	}
	return value, nil
}

// isJSONMedia reports whether a media type is JSON's.
func isJSONMedia(text string) bool {
	media, _, _ := strings.Cut(strings.ToLower(text), ";")
	media = strings.TrimSpace(media)
	return media == mediaJSON || strings.HasSuffix(media, "+json")
}
