package schemas_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

func FuzzEncodedLen(f *testing.F) {
	for _, s := range []string{"", "plain", `quote" and \\`, "\x00\x1f\x7f\b\f\n\r\t", "é€😀", "\u2028\u2029\ufffd", "\xff\xc3", "<&>",
		strings.Repeat("\x01", 100)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		encoded, err := schemas.Marshal(s)
		require.NoError(t, err)
		require.Equal(t, len(encoded), schemas.EncodedLen(s), "%q", s)
	})
}
