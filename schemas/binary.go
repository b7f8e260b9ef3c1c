package schemas

import (
	"bytes"
	"cmp"
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

// Document returns the event of a message in structured mode, whichever mode it came in. With an error, it returns what can
// be read of the event.
func Document(header map[string][]string, data []byte) ([]byte, error) {
	if IsBinary(header) {
		return FromBinary(header, data)
	}
	return data, nil
}

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

// FromBinary returns the structured form of an event in binary mode: each header ce-<name> is an attribute, and data is the
// data, which must be JSON. A value in double quotes is unquoted, then percent-decoded once (bindings of CloudEvents for
// HTTP and NATS, section 3.1.3.2). The error is an *InvalidError, the first one in the order of the names of the headers.
// With an error, the document has every attribute that can be read, so that the event can be answered.
func FromBinary(header map[string][]string, data []byte) (json.RawMessage, error) {
	event, first := binaryAttributes(header)
	if media, given := event[attributeContentType].(string); given && !isJSONMedia(media) && first == nil {
		first = asInvalid(under(attributeContentType, invalid("must be "+mediaJSON)))
	}
	event[attributeContentType] = mediaJSON
	body := bytes.TrimSpace(strictjson.WithoutBOM(data))
	event["data"] = json.RawMessage(body)
	document, err := Marshal(event)
	if err != nil || len(body) == 0 {
		event["data"] = nil
		if document, err = Marshal(event); err == nil {
			err = asInvalid(under("data", invalid("must be a JSON object: the body of an event in binary mode is its data")))
		}
	}
	if first != nil {
		err = first
	}
	return document, err
}

// binaryAttributes returns the attributes that can be read, and the first error of the others. An attribute that comes more
// than once has no value.
func binaryAttributes(header map[string][]string) (attributes map[string]any, first error) {
	attributes = map[string]any{}
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(header)) {
		attribute, isAttribute := strings.CutPrefix(strings.ToLower(name), binaryPrefix)
		if !isAttribute {
			continue
		}
		value, err := binaryValue(attribute, header[name])
		if seen[attribute] {
			err = invalid("has the header ce-%s more than once", attribute)
		}
		seen[attribute] = true
		if err != nil {
			delete(attributes, attribute)
			first = cmp.Or(first, err)
			continue
		}
		attributes[attribute] = value
	}
	return attributes, first
}

// binaryValue decodes the header of an attribute.
func binaryValue(attribute string, values []string) (string, error) {
	if attribute == "data" {
		return "", invalid("has the header ce-data, which has no meaning: the body is the data")
	}
	if len(values) != 1 {
		return "", invalid("has the header ce-%s more than once", attribute)
	}
	value, err := url.PathUnescape(unquoted(values[0]))
	if err != nil || !utf8.ValidString(value) {
		return "", asInvalid(under(attribute, invalid("must be UTF-8, percent-encoded, in the header ce-%s", attribute)))
	}
	return value, nil
}

// unquoted returns the text of a quoted string (RFC 7230, section 3.2.6), and every other value as it is.
func unquoted(value string) string {
	value = strings.Trim(value, " \t")
	inner, quoted := strings.CutPrefix(value, `"`)
	if !quoted {
		return value
	}
	var text strings.Builder
	for i := 0; i < len(inner); i++ {
		switch c := inner[i]; {
		case c == '"' && i == len(inner)-1:
			return text.String()
		case c == '"':
			return value // something follows the quoted string
		case c == '\\' && i+1 < len(inner):
			i++
		}
		text.WriteByte(inner[i])
	}
	return value // the quoted string does not end
}

// isJSONMedia reports whether a media type is JSON's.
func isJSONMedia(text string) bool {
	media, _, _ := strings.Cut(strings.ToLower(text), ";")
	media = strings.TrimSpace(media)
	return media == mediaJSON || strings.HasSuffix(media, "+json")
}
