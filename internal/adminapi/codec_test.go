package adminapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"

	"github.com/hookturn/hookturn/internal/audit"
	"github.com/hookturn/hookturn/internal/codec"
	"github.com/hookturn/hookturn/schemas"
)

const (
	tokenOfViewer = "token-of-the-viewer-1"
	tokenOfDoer   = "token-of-the-operator-1"
	tokenOfOwner  = "token-of-the-owner-1"
	everyRole     = "# people\nann viewer " + tokenOfViewer + "\nbob operator " + tokenOfDoer + "\ncarla owner " + tokenOfOwner + "\n"
)

// codecServer is the admin API with a codec server, and the codec of a worker with the same keys.
func codecServer(t *testing.T) (*httptest.Server, *codec.Codec) {
	t.Helper()
	payloads := newPayloads(t)
	return serveCodec(t, payloads, newReads(&shelf{})), payloads
}

func serveCodec(t *testing.T, payloads *codec.Codec, reads *audit.Reads) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(API{
		Log: discardLogger, Operators: operatorsOf(t, everyRole),
		Codec: &Codec{Payloads: payloads, Reads: reads, Origins: []string{"https://temporal.example"}},
	}.Handler())
	t.Cleanup(s.Close)
	t.Cleanup(func() { _ = reads.Close(context.Background()) })
	return s
}

func newReads(to audit.Writer) *audit.Reads {
	return audit.NewReads(to, schemas.AuditPayloadsDecrypt, discardLogger)
}

func newPayloads(t *testing.T) *codec.Codec {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "k1"), []byte(strings.Repeat("7f", 32)), 0o600))
	payloads, err := codec.New(dir, discardLogger)
	require.NoError(t, err)
	return payloads
}

// remote is what the Temporal CLI does with --codec-endpoint and --codec-auth.
func remote(s *httptest.Server, token string) converter.PayloadCodec {
	return converter.NewRemotePayloadCodec(converter.RemotePayloadCodecOptions{
		Endpoint: s.URL + "/codec",
		ModifyRequest: func(r *http.Request) error {
			r.Header.Set("Authorization", "Bearer "+token)
			r.Header.Set("X-Namespace", "shop-namespace")
			return nil
		},
	})
}

func TestCodec_TemporalsRemoteCodec(t *testing.T) {
	t.Parallel()
	s, worker := codecServer(t)
	written := []*commonpb.Payload{{Metadata: map[string][]byte{"encoding": []byte("json/plain")}, Data: []byte(`"what a person wrote"`)}}
	encrypted, err := worker.Encode(written)
	require.NoError(t, err)
	shown, err := remote(s, tokenOfOwner).Decode(append(encrypted, written...))
	require.NoError(t, err)
	require.Len(t, shown, 2)
	for _, p := range shown {
		require.Equal(t, written[0].GetData(), p.GetData())
	}
	sent, err := remote(s, tokenOfOwner).Encode(written)
	require.NoError(t, err)
	require.NotContains(t, string(sent[0].GetData()), "person")
	again, err := worker.Decode(sent)
	require.NoError(t, err)
	require.Equal(t, written[0].GetData(), again[0].GetData())

	for token, status := range map[string]string{"": "401", "wrong-token-of-a-stranger": "401", tokenOfViewer: "403", tokenOfDoer: "403"} {
		_, err = remote(s, token).Decode(encrypted)
		require.ErrorContains(t, err, status, token)
	}
}

// TestCodec_DecryptionRecorded decrypts three pages: the first event is there before, the counts when the process stops.
func TestCodec_DecryptionRecorded(t *testing.T) {
	t.Parallel()
	to, payloads := &shelf{}, newPayloads(t)
	reads := newReads(to)
	s := serveCodec(t, payloads, reads)
	encrypted, err := payloads.Encode([]*commonpb.Payload{{Data: []byte("a")}, {Data: []byte("b")}})
	require.NoError(t, err)
	for range 3 {
		shown, err := remote(s, tokenOfOwner).Decode(encrypted)
		require.NoError(t, err)
		require.Equal(t, "a", string(shown[0].GetData()))
	}
	_, err = remote(s, tokenOfDoer).Decode(encrypted)
	require.Error(t, err)
	_, err = remote(s, tokenOfOwner).Encode(encrypted)
	require.NoError(t, err)
	require.NoError(t, reads.Close(t.Context()))
	require.Len(t, to.events, 2, "neither one without the role nor encrypting is a read")
	require.NotEmpty(t, to.events[0].Data.Actor.From)
	require.Equal(t, map[string]int{"requests": 3, "payloads": 6}, to.events[1].Data.Counts)
	require.Equal(t, []string{"shop-namespace"}, to.events[1].Data.Objects)
	require.Equal(t, []string{
		"/hookturn payloads_decrypt requested by carla owner", "/hookturn payloads_decrypt done by carla owner",
	}, to.taken())
}

func TestCodec_NothingDecryptedWithoutTheEvent(t *testing.T) {
	t.Parallel()
	payloads := newPayloads(t)
	s := serveCodec(t, payloads, newReads(&shelf{err: errors.New("away")}))
	encrypted, err := payloads.Encode([]*commonpb.Payload{{Data: []byte("what a person wrote")}})
	require.NoError(t, err)
	shown, err := remote(s, tokenOfOwner).Decode(encrypted)
	require.ErrorContains(t, err, "500")
	require.ErrorContains(t, err, "nothing was decrypted")
	require.NotContains(t, fmt.Sprint(shown), "person")
}

func TestCodec_PagesOfAllowedOrigins(t *testing.T) {
	t.Parallel()
	to := &shelf{}
	reads := newReads(to)
	s := serveCodec(t, newPayloads(t), reads)
	ask := func(method, origin, token string) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/codec/decode?preserveStorageRefs=true", strings.NewReader(`{"payloads":[]}`))
		require.NoError(t, err)
		r.Header.Set("Origin", origin)
		if token != "" {
			r.SetBasicAuth("", token)
		}
		answer, err := browser.Do(r)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		return answer
	}
	allowed := ask(http.MethodOptions, "https://temporal.example", "")
	require.Equal(t, http.StatusNoContent, allowed.StatusCode)
	require.Equal(t, "https://temporal.example", allowed.Header.Get("Access-Control-Allow-Origin"))
	require.Contains(t, allowed.Header.Get("Access-Control-Allow-Headers"), "X-Namespace")
	answered := ask(http.MethodPost, "https://temporal.example", tokenOfOwner)
	require.Equal(t, http.StatusOK, answered.StatusCode)
	require.Equal(t, "true", answered.Header.Get("Access-Control-Allow-Credentials"))

	require.Equal(t, http.StatusForbidden, ask(http.MethodOptions, "https://other.example", "").StatusCode)
	require.Equal(t, http.StatusUnauthorized, ask(http.MethodPost, "https://temporal.example", "").StatusCode)
	require.Equal(t, http.StatusOK, ask(http.MethodPost, s.URL, tokenOfOwner).StatusCode, "a page of the listener itself")
	for _, other := range []string{"https://other.example", "null", "https://temporal.example.other", s.URL + "0"} {
		for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodHead} {
			rejected := ask(method, other, tokenOfOwner)
			require.Equal(t, http.StatusForbidden, rejected.StatusCode, "%s from %s", method, other)
			require.Empty(t, rejected.Header.Get("Access-Control-Allow-Origin"))
		}
	}
	require.NoError(t, reads.Close(t.Context()))
	require.Equal(t, 2, to.events[len(to.events)-1].Data.Counts["requests"], "those of allowed pages")
}

func TestCodec_BrowserAskedForToken(t *testing.T) {
	t.Parallel()
	s, _ := codecServer(t)
	answer, err := browser.Get(s.URL + "/codec/")
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusUnauthorized, answer.StatusCode)
	require.Contains(t, answer.Header.Values("WWW-Authenticate")[0], "Basic")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/codec/", http.NoBody)
	require.NoError(t, err)
	r.SetBasicAuth("any", tokenOfOwner)
	answer, err = browser.Do(r)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusOK, answer.StatusCode)
}

func TestCodec_WithoutKeys(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	API{Log: discardLogger, Operators: operatorsOf(t, everyRole)}.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/codec/decode", http.NoBody))
	requireProblem(t, w, http.StatusNotFound, "", "--payload-keys")
}
