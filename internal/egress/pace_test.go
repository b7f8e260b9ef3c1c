package egress

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// TestDo_PaceSendsTheBody checks that a body is read from the reader of Pace, with the length of the body.
func TestDo_PaceSendsTheBody(t *testing.T) {
	t.Parallel()
	received := make(chan string, 1)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		received <- r.Header.Get("Content-Length") + string(body)
	}))
	defer s.Close()
	paced := 0
	_, _, err := newClient(t, devstack()).Do(context.Background(), Request{
		URL: s.URL, Body: []byte("slowly"),
		Pace: func(body []byte) io.Reader {
			paced++
			return iotest.OneByteReader(bytes.NewReader(body))
		},
	})
	require.NoError(t, err)
	require.Equal(t, 1, paced)
	require.Equal(t, "6slowly", <-received)
}
