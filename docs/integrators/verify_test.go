package integrators

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/secret"
	"github.com/hookturn/hookturn/internal/signature"
)

// vector is one case of vectors.json, which the four languages share.
type vector struct {
	Name    string            `json:"name"`
	Scheme  string            `json:"scheme"`
	Secret  string            `json:"secret"`
	Now     int64             `json:"now"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	Valid   bool              `json:"valid"`
}

func vectors(t *testing.T) []vector {
	t.Helper()
	text, err := os.ReadFile("vectors.json")
	require.NoError(t, err)
	var list []vector
	require.NoError(t, json.Unmarshal(text, &list))
	require.Greater(t, len(list), 25)
	return list
}

func TestVectors_Hookturn(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t) {
		h := http.Header{}
		for name, value := range v.Headers {
			h.Set(name, value)
		}
		err := signature.Verify(h, signature.Scheme(v.Scheme), []secret.Value{secret.New(v.Secret)}, time.Unix(v.Now, 0), []byte(v.Body))
		require.Equal(t, v.Valid, err == nil, "%s: %v", v.Name, err)
	}
}

func TestVectors_Go(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t) {
		h := http.Header{}
		for name, value := range v.Headers {
			h.Set(name, value)
		}
		require.Equal(t, v.Valid, Verify(v.Scheme, h, []byte(v.Body), v.Secret, time.Unix(v.Now, 0)), v.Name)
	}
}

// TestVectors_OtherLanguages runs the files of this directory in the languages' own programs. Each prints the name of every
// vector that it takes for valid.
func TestVectors_OtherLanguages(t *testing.T) {
	t.Parallel()
	var want bytes.Buffer
	for _, v := range vectors(t) {
		if v.Valid {
			want.WriteString(v.Name + "\n")
		}
	}
	for program, arguments := range map[string][]string{
		"python3": {"-c", `
import json, verify
for v in json.load(open("vectors.json", encoding="utf-8")):
    if verify.verify(v["scheme"], v["headers"], v["body"].encode(), v["secret"], v["now"]):
        print(v["name"])`},
		"node": {"-e", `
for (const v of require('./vectors.json')) {
  if (require('./verify.js').verify(v.scheme, v.headers, Buffer.from(v.body), v.secret, v.now)) console.log(v.name)
}`},
		"php": {"-r", `
require 'verify.php';
foreach (json_decode(file_get_contents('vectors.json'), true) as $v) {
    if (verify($v['scheme'], $v['headers'], $v['body'], $v['secret'], $v['now'])) echo $v['name'], "\n";
}`},
	} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			command := exec.CommandContext(t.Context(), program, arguments...)
			command.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
			out, err := command.Output()
			failed, _ := errors.AsType[*exec.ExitError](err)
			if failed != nil {
				require.NoError(t, err, string(failed.Stderr))
			}
			require.NoError(t, err, "tools/setup.sh --tests installs what is missing")
			require.Equal(t, want.String(), string(out))
		})
	}
}
