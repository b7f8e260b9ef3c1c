package adminapi

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"

	"github.com/hookturn/hookturn/internal/codec"
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
	s := httptest.NewServer(API{
		Log: discardLogger, Operators: operatorsOf(t, everyRole), Codec: &Codec{Payloads: payloads, Origins: []string{"https://temporal.example"}},
	}.Handler())
	t.Cleanup(s.Close)
	return s, payloads
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

func TestCodec_PagesOfAllowedOrigins(t *testing.T) {
	t.Parallel()
	s, _ := codecServer(t)
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
	require.Empty(t, ask(http.MethodPost, "https://other.example", tokenOfOwner).Header.Get("Access-Control-Allow-Origin"))
	require.Equal(t, http.StatusUnauthorized, ask(http.MethodPost, "https://temporal.example", "").StatusCode)
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
