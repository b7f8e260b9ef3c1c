package header_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/header"
)

func TestCompressed(t *testing.T) {
	t.Parallel()
	for _, plain := range [][]string{nil, {""}, {"identity"}, {" Identity "}, {"IDENTITY, identity"}, {"identity", "identity"}, {","}} {
		require.False(t, header.Compressed(http.Header{"Content-Encoding": plain}), "%q", plain)
	}
	for _, compressed := range [][]string{{"gzip"}, {"identity, br"}, {"identity", "gzip"}, {"x-unknown"}, {"identity;q=1"}} {
		require.True(t, header.Compressed(http.Header{"Content-Encoding": compressed}), "%q", compressed)
	}
}
