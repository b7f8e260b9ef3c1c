package gateway

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"github.com/hookturn/hookturn/schemas"
)

// contentOf is a fingerprint of an event's members: neither their order nor white space counts.
func contentOf(document json.RawMessage) string {
	var canonical bytes.Buffer
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber()
	if writeCanonical(&canonical, decoder) == nil {
		document = canonical.Bytes()
	}
	sum := sha256.Sum256(document)
	return hex.EncodeToString(sum[:])
}

// writeCanonical writes the next value without white space, the members of objects by their names. It goes by tokens: as Go
// values, a megabyte of empty objects would take thirty.
func writeCanonical(w *bytes.Buffer, from *json.Decoder) error {
	token, err := from.Token()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('['):
		return writeArray(w, from)
	case json.Delim('{'):
		return writeObject(w, from)
	}
	return writeScalar(w, token)
}

func writeScalar(w *bytes.Buffer, token any) error {
	text, err := schemas.Marshal(token)
	w.Write(text)
	return err
}

func writeArray(w *bytes.Buffer, from *json.Decoder) error {
	w.WriteByte('[')
	for n := 0; from.More(); n++ {
		if n > 0 {
			w.WriteByte(',')
		}
		if err := writeCanonical(w, from); err != nil {
			return err
		}
	}
	_, err := from.Token() // the end
	w.WriteByte(']')
	return err
}

func writeObject(w *bytes.Buffer, from *json.Decoder) error {
	type member struct {
		name    string
		at, end int // of name and value, behind the object's begin
	}
	begin, members := w.Len(), []member(nil)
	for from.More() {
		name, err := from.Token()
		if err != nil {
			return err
		}
		m := member{at: w.Len() - begin}
		m.name, _ = name.(string)
		if err := writeScalar(w, name); err != nil {
			return err
		}
		w.WriteByte(':')
		if err := writeCanonical(w, from); err != nil {
			return err
		}
		m.end = w.Len() - begin
		members = append(members, m)
	}
	slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.name, b.name) })
	written := bytes.Clone(w.Bytes()[begin:])
	w.Truncate(begin)
	w.WriteByte('{')
	for n, m := range members {
		if n > 0 {
			w.WriteByte(',')
		}
		w.Write(written[m.at:m.end])
	}
	_, err := from.Token() // the end
	w.WriteByte('}')
	return err
}
