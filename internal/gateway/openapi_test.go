package gateway

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/adminapi"
	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/channel"
	"github.com/hookturn/hookturn/internal/letterapi"
	"github.com/hookturn/hookturn/schemas"
)

type document struct {
	OpenAPI string
	Paths   map[string]map[string]json.RawMessage
}

type operation struct {
	OperationID string
	Security    []map[string][]string
	Responses   map[string]json.RawMessage
}

func described(t *testing.T) document {
	t.Helper()
	d := newTestGateway(t)
	w := d.do(httptest.NewRequest(http.MethodGet, "/openapi.json", nil))
	require.Equal(t, http.StatusOK, w.Code)
	var doc document
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &doc))
	require.Equal(t, "3.1.0", doc.OpenAPI)
	return doc
}

// TestGateway_ServesDocuments holds that each document is served whole: programs read it without a second request.
func TestGateway_ServesDocuments(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	get := func(path string) *httptest.ResponseRecorder {
		return d.do(httptest.NewRequest(http.MethodGet, path, nil))
	}
	for path, want := range map[string][]byte{"/asyncapi.json": schemas.AsyncAPIJSON(), "/openapi.json": schemas.OpenAPI()} {
		w := get(path)
		require.Equal(t, http.StatusOK, w.Code)
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
		require.Equal(t, string(want), w.Body.String())
	}
	for _, name := range schemas.SchemaNames() {
		w := get("/schemas/" + name + ".json")
		require.Equal(t, http.StatusOK, w.Code)
		require.Equal(t, "application/schema+json", w.Header().Get("Content-Type"))
		want, err := schemas.JSONSchema(name)
		require.NoError(t, err)
		require.Equal(t, string(want), w.Body.String())
	}
	for _, name := range []string{"nothing.json", "event", "event.yaml", "..%2Fopenapi.json", ".json"} {
		require.Equal(t, http.StatusNotFound, get("/schemas/"+name).Code, name)
	}
}

// TestOpenAPI_DescriptionIsOfThisGateway holds the document against the routes: nothing is there that is not described, and the
// other way round.
func TestOpenAPI_DescriptionIsOfThisGateway(t *testing.T) {
	t.Parallel()
	var there, documented []string
	for _, r := range (Options{}).table() {
		there = append(there, r.method+" "+r.path)
	}
	for path, methods := range described(t).Paths {
		for method := range methods {
			if method != "parameters" && !strings.HasPrefix(path, "/admin/") {
				documented = append(documented, strings.ToUpper(method)+" "+path)
			}
		}
	}
	slices.Sort(there)
	slices.Sort(documented)
	require.Equal(t, there, documented)
}

// TestOpenAPI_DescriptionIsTrue asks every operation without a token, with an empty body and a wrong one: the status that comes
// back is one that the document names, a guarded operation is closed, and every problem has the documented form.
func TestOpenAPI_DescriptionIsTrue(t *testing.T) {
	t.Parallel()
	doc := described(t)
	problems := problemSchema(t)
	d, o := newTestGateway(t), newAdminAPI(t)
	ids := map[string]bool{}
	for path, methods := range doc.Paths {
		for method, raw := range methods {
			if method == "parameters" {
				continue
			}
			var op operation
			require.NoError(t, json.Unmarshal(raw, &op))
			require.NotEmpty(t, op.OperationID)
			require.False(t, ids[op.OperationID], "%s is there twice", op.OperationID)
			ids[op.OperationID] = true
			for _, c := range attempts() {
				w := c.make(t, d, o, strings.ToUpper(method), path)
				require.Contains(t, op.Responses, strconv.Itoa(w.Code), "%s %s %+v: %s", method, path, c, w.Body)
				if len(op.Security) > 0 && !c.admitted {
					require.Equal(t, http.StatusUnauthorized, w.Code, "%s %s", method, path)
				}
				if w.Code >= 400 {
					require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
					var body any
					require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body))
					require.NoError(t, problems.Validate(body))
				}
			}
		}
	}
}

const operatorToken = "token-of-the-operator"

// newAdminAPI returns the admin API, which openapi.yaml describes, too.
func newAdminAPI(t *testing.T) http.Handler {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	path := filepath.Join(t.TempDir(), "operator")
	require.NoError(t, os.WriteFile(path, []byte(operatorToken), 0o600))
	operators, err := adminapi.ReadOperators(path, log)
	require.NoError(t, err)
	return adminapi.API{Log: log, Operators: operators, Channels: adminapi.Channels{
		Administration: &channel.Administration{Registry: channel.NewRegistry(loadBots(t), bot.Options{}, log)}, Log: log,
		Audit: noAudit{},
	}, Letters: letterapi.API{Letters: noLetters{}, Log: log}}.Handler()
}

// noAudit stores no audit event.
type noAudit struct{}

func (noAudit) Write(context.Context, schemas.AuditEvent) error { return nil }

// attempt is a request that every operation gets.
type attempt struct {
	body, contentType string
	admitted          bool // by a good token
}

func attempts() []attempt {
	return []attempt{
		{"", "", false}, {"{", "application/json", false}, {"", "", true}, {"{", "application/json", true}, {"x", "text/html", true},
	}
}

func (c attempt) make(t *testing.T, d *testGateway, o http.Handler, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, filled(path), strings.NewReader(c.body))
	r.RemoteAddr = "203.0.113.9:1"
	if c.contentType != "" {
		r.Header.Set("Content-Type", c.contentType)
	}
	token, handler := tokenOfHook, d.routes()
	switch {
	case strings.HasPrefix(path, "/admin/"):
		token, handler = operatorToken, o
	case path == "/events", strings.HasPrefix(path, "/deadletters"):
		token = tokenOfDefault
	case path == "/replies":
		token = tokenOfDefault
		ended, end := context.WithCancel(t.Context())
		end() // the stream ends as soon as it has begun
		r = r.WithContext(ended)
	}
	if c.admitted {
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("X-Cm-Producttoken", "new-token")
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

func filled(path string) string {
	return strings.NewReplacer("{token}", "none", "{id}", "6f1b1d3c-6f0e-4a43-9a07-2f2f5f7e2d51", "{account}", "acc-1",
		"{adapter}", "agents", "{sequence}", "7").Replace(path)
}

func problemSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	var doc any
	require.NoError(t, json.Unmarshal(schemas.OpenAPI(), &doc))
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource("openapi.json", doc))
	s, err := compiler.Compile("openapi.json#/components/schemas/Problem")
	require.NoError(t, err)
	return s
}
