package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/signedurl"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// shelf keeps files in memory.
type shelf struct {
	mu    sync.Mutex
	files map[string]store.File
	text  map[string][]byte
	err   error
}

func (s *shelf) Put(_ context.Context, owner schemas.BotID, file store.File, content io.Reader) (store.File, error) {
	text, err := io.ReadAll(content)
	if err = errors.Join(err, s.err); err != nil {
		return store.File{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files == nil {
		s.files, s.text = map[string]store.File{}, map[string][]byte{}
	}
	file.ID, file.Size = uuid.NewString(), int64(len(text))
	key := owner.Tenant + "/" + owner.Bot + "/" + file.ID
	s.files[key], s.text[key] = file, text
	return file, nil
}

func (s *shelf) Get(_ context.Context, owner schemas.BotID, id string) (store.File, io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := owner.Tenant + "/" + owner.Bot + "/" + id
	file, ok := s.files[key]
	if !ok {
		return store.File{}, nil, store.ErrNoFile
	}
	return file, io.NopCloser(bytes.NewReader(s.text[key])), nil
}

func (s *shelf) Delete(_ context.Context, owner schemas.BotID, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := owner.Tenant + "/" + owner.Bot + "/" + id
	if _, ok := s.files[key]; !ok {
		return store.ErrNoFile
	}
	delete(s.files, key)
	return nil
}

func (d *testGateway) file(method, path, token, contentType, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return d.do(r)
}

func TestFiles_FileIsKeptReadLinkedAndDeleted(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	w := d.file("POST", "/files?name=../a/b%22%0A.png", tokenOfFiles, "image/png; x=y", "\x89PNG")
	require.Equal(t, 201, w.Code, w.Body)
	file := decoded(t, w)
	id := file["id"].(string)
	require.Equal(t, []any{"b__.png", "image/png", "files"}, []any{file["name"], file["type"], file["channel"]})
	require.Equal(t, "/files/"+id, w.Header().Get("Location"))

	w = d.file("GET", "/files/"+id, tokenOfFiles, "", "")
	require.Equal(t, []any{200, "\x89PNG", "image/png", "nosniff", "sandbox", "4"}, []any{
		w.Code, w.Body.String(), w.Header().Get("Content-Type"), w.Header().Get("X-Content-Type-Options"),
		w.Header().Get("Content-Security-Policy"), w.Header().Get("Content-Length"),
	})
	require.Contains(t, w.Header().Get("Content-Disposition"), "attachment")
	require.Empty(t, d.file("HEAD", "/files/"+id, tokenOfFiles, "", "").Body.String())

	w = d.file("POST", "/files/"+id+"/links", tokenOfFiles, "", "")
	require.Equal(t, 201, w.Code)
	url, ok := strings.CutPrefix(decoded(t, w)["url"].(string), "https://hooks.example")
	require.True(t, ok)
	require.Equal(t, "\x89PNG", d.file("GET", url, "", "", "").Body.String(), "anybody reads it")
	past, _ := d.Links.Make(schemas.BotID{Tenant: "default", Bot: "shop2"}, id, time.Now().Add(-6*time.Minute))
	requireProblem(t, d.file("GET", strings.TrimPrefix(past, "https://hooks.example"), "", "", ""), 410, fault.Expired, "five minutes")
	callbacks := d.signer.Sign(signedurl.Payload{Owner: "default/shop2", Item: id, Expires: time.Now().Add(time.Minute)})
	requireProblem(t, d.file("GET", "/public/files/"+callbacks, "", "", ""), 404, "", "no such link")

	d.runs.script = returns(`{"statusCode":203,"file":"` + id + `"}`)
	w = d.file("POST", "/exec", tokenOfFiles, "", "")
	require.Equal(t, []any{203, "\x89PNG"}, []any{w.Code, w.Body.String()}, "a script may answer with a file")
	d.runs.script = returns(`{"file":"` + uuid.NewString() + `"}`)
	requireProblem(t, d.file("POST", "/exec", tokenOfFiles, "", ""), 404, "", "no such file")

	require.Equal(t, 204, d.file("DELETE", "/files/"+id, tokenOfFiles, "", "").Code)
	for _, c := range [][2]string{{"GET", "/files/" + id}, {"DELETE", "/files/" + id}, {"POST", "/files/" + id + "/links"}} {
		requireProblem(t, d.file(c[0], c[1], tokenOfFiles, "", ""), 404, "", "no such file")
	}
}

func TestFiles_WhyAFileIsRefused(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	requireProblem(t, d.file("POST", "/files", "", "text/plain", "x"), 401, "", "")
	requireProblem(t, d.file("POST", "/files", tokenOfHook, "text/plain", "x"), 403, fault.Config, "allow_files_api")
	for _, media := range []string{"", "text/html", "image/svg+xml", "application/javascript", "image/", ";"} {
		requireProblem(t, d.file("POST", "/files", tokenOfFiles, media, "x"), 415, fault.Encoding, "")
	}
	requireProblem(t, d.file("POST", "/files", tokenOfFiles, "text/plain", strings.Repeat("x", FileMax+1)), 413, fault.TooLarge, "16777216 bytes")
	requireProblem(t, d.file("PUT", "/files/x", tokenOfFiles, "", ""), 405, "", "use")
	d.Files.(*shelf).err = io.ErrUnexpectedEOF
	requireProblem(t, d.file("POST", "/files", tokenOfFiles, "text/plain", "x"), 400, fault.Reset, "ended early")
	d.Files.(*shelf).err = fmt.Errorf("address of NATS: %w", context.DeadlineExceeded)
	requireProblem(t, d.file("POST", "/files", tokenOfFiles, "text/plain", "x"), 503, fault.Internal, "try again")
	d.Files.(*shelf).err = fmt.Errorf("store a file: %w", fault.New(fault.QueueFull, "the files of the tenant fill its share"))
	requireProblem(t, d.file("POST", "/files", tokenOfFiles, "text/plain", "x"), 429, fault.QueueFull, "fill its share")
	d.Files.(*shelf).err = errors.New("digests do not match")
	requireProblem(t, d.file("POST", "/files", tokenOfFiles, "text/plain", "x"), 500, fault.Internal, "internal error: report the time")
	require.Equal(t, http.StatusNotFound, d.file("GET", "/files/x", tokenOfFiles, "", "").Code)
}

func decoded(t *testing.T, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var body map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &body), w.Body)
	return body
}
