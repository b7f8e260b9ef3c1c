package schemas_test

import (
	"bytes"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

// FuzzDecodeEvent looks for bytes that panic, for errors that are not an InvalidError, and for events that DecodeEvent
// takes although the schema refuses them or that change on their way through Encode.
func FuzzDecodeEvent(f *testing.F) {
	paths, err := filepath.Glob(filepath.Join("testdata", "events", "*.txt"))
	require.NoError(f, err)
	require.NotEmpty(f, paths)
	for _, path := range paths {
		name := filepath.Base(path)
		f.Add(eventVector(f, name[:len(name)-len(".txt")]))
	}
	event := schema(f, schemas.SchemaEvent)

	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := schemas.DecodeEvent(raw)
		if err != nil {
			var bad *schemas.InvalidError
			require.ErrorAs(t, err, &bad)
			require.True(t, utf8.ValidString(bad.Error()))
			return
		}
		require.NoError(t, validateJSON(event, bytes.TrimPrefix(raw, []byte("\uFEFF"))))
		encoded, err := e.Encode()
		if err != nil {
			require.Greater(t, 2*len(raw), schemas.MessageMax, "escapes make a text at most twice as long")
			return
		}
		require.NoError(t, validateJSON(event, encoded))
		again, err := schemas.DecodeEvent(encoded)
		require.NoError(t, err)
		encodedAgain, err := again.Encode()
		require.NoError(t, err)
		require.Equal(t, string(encoded), string(encodedAgain))
	})
}
