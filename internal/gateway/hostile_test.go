package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// hostile are texts that a client may put wherever an id goes.
func hostile() map[string]string {
	return map[string]string{
		"long": strings.Repeat("x", 3000), "long words": strings.Repeat("x.", 1500), "nul": "a\x00b", "line end": "a\r\nb", "wildcard": "*",
		"all": ">", "dots": "..", "slash": "a/b", "unicode": "ä\u202e漢", "not utf-8": "\xff\xfe", "half a surrogate": "\xed\xa0\x80",
		"percent": "%", "percent twice": "%2500", "uuid in braces": "{0b4e0b4e-0b4e-4b4e-8b4e-0b4e0b4e0b4e}",
		"uuid, urn": "urn:uuid:0b4e0b4e-0b4e-4b4e-8b4e-0b4e0b4e0b4e", "space": " ", "quote": `"`,
	}
}

// TestGateway_HostileIDs puts every hostile text into every variable part of every path, as a query and as a token. A
// client's mistake is a 4xx.
func TestGateway_HostileIDs(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	d.runs.script = returns(`{"body":"ok"}`)
	for name, text := range hostile() {
		escaped := url.PathEscape(text)
		for _, route := range d.table() {
			path := route.path
			for strings.Contains(path, "{") {
				before, rest, _ := strings.Cut(path, "{")
				_, after, _ := strings.Cut(rest, "}")
				path = before + escaped + after
			}
			for _, token := range []string{tokenOfFiles, tokenOfHook, text} {
				r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(route.method + " " + path + "?name=" +
					url.QueryEscape(text) + " HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}")))
				require.NoError(t, err, name)
				r.Header.Set("Authorization", "Bearer "+token)
				r.Header.Set("Content-Type", "application/json")
				w := d.do(r)
				require.Less(t, w.Code, 500, "%s %s: %s", route.method, route.path, w.Body)
			}
		}
	}
}

func TestGateway_RepeatedHeader(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	for _, name := range []string{"Authorization", "Content-Type", "X-Cm-Producttoken"} {
		r := httptest.NewRequest(http.MethodPost, "/exec", nil)
		r.Header.Add("Authorization", "Bearer "+tokenOfHook)
		r.Header.Add(name, "a")
		r.Header.Add(name, "b")
		w := d.do(r)
		require.Equal(t, http.StatusBadRequest, w.Code, name)
		require.Contains(t, w.Body.String(), name)
	}
}

// TestGateway_ChunksEndTheConnection sends a second request behind one whose length two headers give: what a proxy in front
// takes for a body, the gateway would take for a request.
func TestGateway_ChunksEndTheConnection(t *testing.T) {
	t.Parallel()
	_, s := listen(t)
	conn, err := net.Dial("tcp", s.Addr())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(soon)))
	_, err = io.WriteString(conn, "POST /exec HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer "+tokenOfHook+
		"\r\nContent-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /openapi.json HTTP/1.1\r\nHost: h\r\n\r\n")
	require.NoError(t, err)
	all, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(all), "HTTP/1.1 "), "%s", all)
	require.Contains(t, string(all), "Connection: close")
}

func TestGateway_PagesOfScriptsRunNothing(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	d.runs.script = returns(`{"statusCode":200,"headers":{"Content-Type":"text/html","Content-Security-Policy":"script-src *",` +
		`"X-Content-Type-Options":"sniff"},"body":"<script>alert(1)</script>"}`)
	r := httptest.NewRequest(http.MethodPost, "/exec", nil)
	r.Header.Set("Authorization", "Bearer "+tokenOfSync)
	r.RemoteAddr = "203.0.113.9:1"
	w := d.do(r)
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	require.Contains(t, w.Header().Values("Content-Security-Policy"), "sandbox")
	require.Equal(t, []string{"nosniff"}, w.Header().Values("X-Content-Type-Options"))
	require.Equal(t, "nosniff", d.do(httptest.NewRequest(http.MethodGet, "/nowhere", nil)).Header().Get("X-Content-Type-Options"))
}

func TestGateway_PanicIsAnswered(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) { panic("out of order") })
	w := httptest.NewRecorder()
	d.watched(mux).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	require.NotContains(t, w.Body.String(), "out of order")
	require.Contains(t, d.log.String(), "out of order")
}
