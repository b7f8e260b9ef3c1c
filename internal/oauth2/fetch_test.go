package oauth2_test

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
)

// TestTokens_WaitEndsWithTheStep: a token endpoint that hangs costs a step no more than its own deadline, and the fetch
// that it started still serves the next one.
func TestTokens_WaitEndsWithTheStep(t *testing.T) {
	t.Parallel()
	open := make(chan struct{})
	i, tokens := issue(t, func(w http.ResponseWriter, _ *http.Request, _ int64) {
		<-open
		_, _ = io.WriteString(w, `{"access_token":"t1","token_type":"bearer","expires_in":3600}`)
	})
	ctx, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	_, failed := tokens.Get(ctx, i.grant())
	require.NotNil(t, failed)
	require.Equal(t, fault.Timeout, failed.Kind)
	require.Contains(t, failed.Message, "the token endpoint 127.0.0.1:", "the fault names the endpoint that did not answer")
	require.NotContains(t, failed.Message, "s3cret")

	close(open)
	got, failed := tokens.Get(t.Context(), i.grant())
	require.Nil(t, failed)
	require.Equal(t, "t1", got)
	require.EqualValues(t, 1, i.fetched.Load(), "the second step waited for the first one's fetch")
}

// TestTokens_AuthStyleDetectedOnce: a server that takes the client's secret as a parameter only rejects one request, not
// one before each fetch.
func TestTokens_AuthStyleDetectedOnce(t *testing.T) {
	t.Parallel()
	var basic atomic.Int64
	i, tokens := issue(t, func(w http.ResponseWriter, r *http.Request, _ int64) {
		if _, _, ok := r.BasicAuth(); ok {
			basic.Add(1)
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error":"invalid_client"}`)
			return
		}
		if r.PostForm.Get("client_secret") == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, `{"access_token":"t","token_type":"bearer","expires_in":1}`) // is not kept
	})
	for range 3 {
		_, failed := tokens.Get(t.Context(), i.grant())
		require.Nil(t, failed)
	}
	require.EqualValues(t, 1, basic.Load())
	require.EqualValues(t, 4, i.fetched.Load())
}
