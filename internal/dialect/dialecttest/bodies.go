package dialecttest

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/strictjson"
)

// BadBodies are bodies that are not a valid answer in any dialect that reads its answers, by what is wrong with them.
// Every one that has room for a text holds the Canary.
func BadBodies() map[string][]byte {
	deep := func(open, shut string, n int) []byte {
		return []byte(`{"` + Canary + `":` + strings.Repeat(open, n) + `1` + strings.Repeat(shut, n) + `}`)
	}
	bodies := map[string][]byte{
		"65 levels":           deep("[", "]", 64),
		"20000 arrays":        deep("[", "]", 20_000),
		"20000 objects":       deep(`{"a":`, "}", 20_000),
		"20000 open arrays":   []byte(`"` + Canary + `"` + strings.Repeat("[", 20_000)),
		"empty":               {},
		"array":               []byte(`["` + Canary + `"]`),
		"control character":   []byte("{\"a\":\"" + Canary + "\n\"}"),
		"form":                []byte("a=" + Canary + "&b=1"),
		"html":                []byte("<!doctype html><p>" + Canary),
		"infinity":            []byte(`{"a":Infinity,"b":"` + Canary + `"}`),
		"invalid UTF-8":       []byte("{\"a\":\"" + Canary + "\xff\"}"),
		"latin-1":             []byte("{\"a\":\"" + Canary + " caf\xe9\"}"),
		"leading zero":        []byte(`{"a":01,"b":"` + Canary + `"}`),
		"U+0000 in a name":    []byte(`{"` + Canary + `\u0000":1}`),
		"surrogate in a name": []byte(`{"\ud800` + Canary + `":1}`),
		"encoded surrogate":   []byte("{\"a\":\"\xed\xa0\x80" + Canary + "\"}"),
		"NaN":                 []byte(`{"a":NaN,"b":"` + Canary + `"}`),
		"number":              []byte(`71`),
		"null":                []byte(`null`),
		"string":              []byte(`"` + Canary + `"`),
		"trailing comma":      []byte(`{"a":"` + Canary + `",}`),
		"trailing data":       []byte(`{"a":1} {"b":"` + Canary + `"}`),
		"truncated":           []byte(`{"a":"` + Canary),
		"truncated escape":    []byte(`{"a":"` + Canary + `\u12`),
		"U+0000 raw":          []byte("{\"a\":\"" + Canary + "\x00\"}"),
		"UTF-16":              append([]byte("\xff\xfe"), utf16LE(`{"a":"`+Canary+`"}`)...),
		"white space":         []byte(" \r\n\t"),
		"XML":                 []byte(`<?xml version="1.0"?><a>` + Canary + `</a>`),
	}
	bodies["oversized"] = []byte(`{"a":"` + strings.Repeat(Canary, 100_000))
	return bodies
}

func utf16LE(ascii string) []byte {
	var out []byte
	for _, c := range []byte(ascii) {
		out = append(out, c, 0)
	}
	return out
}

// sameMeaning spells an answer in ways that must not make a difference.
func sameMeaning(t *testing.T, good []byte) map[string][]byte {
	t.Helper()
	object, err := strictjson.ReadObject(good)
	require.NoError(t, err, "Fixtures.Good is a JSON object")
	inner := func(text []byte) []byte { return text[1 : len(text)-1] }
	members := inner(object.Text())
	comma := []byte(",")
	if object.Len() == 0 {
		comma = nil
	}

	var names, spaced bytes.Buffer
	for name := range object.All() {
		quoted, err := strictjson.Encode(name)
		require.NoError(t, err)
		names.Write(quoted)
		names.WriteString(`:[["` + Canary + `"]],`)
	}
	spaced.WriteString(" \r\n{\t")
	spaced.Write(members)
	spaced.WriteString(" }\n\n")

	surround := func(before, after string) []byte { return []byte("{" + before + string(members) + after + "}") }
	return map[string][]byte{
		"byte order mark":      append([]byte("\uFEFF"), object.Text()...),
		"duplicates, last one": surround(names.String(), ""),
		"unknown members":      surround(`"`+Canary+`":{"a":[1e400,null]}`+string(comma), `,"x-`+Canary+`":"\ud83d\ude00"`),
		"upper-case names":     surround("", upperCase(t, object)),
		"U+0000 in a value":    surround(`"`+Canary+`":"\u0000"`+string(comma), ""),
		"half a pair":          surround(`"`+Canary+`":["\ud83d","\udc00\ud83d"]`+string(comma), ""),
		"white space":          spaced.Bytes(),
	}
}

// upperCase returns members whose names differ from an object's in case only: they are unknown members.
func upperCase(t *testing.T, object strictjson.Object) string {
	t.Helper()
	var b strings.Builder
	for name := range object.All() {
		upper := strings.ToUpper(name)
		if upper == name {
			continue
		}
		quoted, err := strictjson.Encode(upper)
		require.NoError(t, err)
		b.WriteString("," + string(quoted) + `:[["` + Canary + `"]]`)
	}
	return b.String()
}
