package gateway

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

// TestContentOf_AsDecoded: the fingerprint is that of the decoded members, as earlier releases made it.
func TestContentOf_AsDecoded(t *testing.T) {
	t.Parallel()
	for _, document := range []string{
		`{}`, `{"b":1,"a":{"d":[],"c":[{},{"y":null,"x":true}]}}`, ` { "a" : [ 1 , 2.50, -3e7, "<ä\u00e9\n" ] } `, `[[],[[]]]`, `"x"`, `7`,
		`{"ä":1,"z":2,"a\"b":3,"":4}`, `{"big":12345678901234567890.123}`,
	} {
		var members any
		decoder := json.NewDecoder(strings.NewReader(document))
		decoder.UseNumber()
		require.NoError(t, decoder.Decode(&members))
		canonical, err := schemas.Marshal(members)
		require.NoError(t, err)
		sum := sha256.Sum256(canonical)
		require.Equal(t, hex.EncodeToString(sum[:]), contentOf(json.RawMessage(document)), document)
	}
	require.Equal(t, contentOf(json.RawMessage(`{"a":1,"b":[2]}`)), contentOf(json.RawMessage("{ \"b\":[2],\n\"a\":1}")))
	require.NotEqual(t, contentOf(json.RawMessage(`{"a":1}`)), contentOf(json.RawMessage(`{"a":2}`)))
	require.NotEqual(t, contentOf(json.RawMessage(`{"a":`)), contentOf(json.RawMessage(`{"a":2`)))
}

// TestContentOf_TakesLittleMemory: a text of many small values takes a few times its own size.
func TestContentOf_TakesLittleMemory(t *testing.T) {
	document := []byte(`[` + strings.Repeat(`{},`, 1<<18) + `{}]`)
	var canonical bytes.Buffer
	decoder := json.NewDecoder(bytes.NewReader(document))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	require.NoError(t, writeCanonical(&canonical, decoder))
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(8*len(document)))
	require.Equal(t, document, canonical.Bytes())
}
