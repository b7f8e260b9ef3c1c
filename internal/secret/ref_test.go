package secret_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/secret"
)

func TestResolve(t *testing.T) {
	t.Parallel()

	env := map[string]string{
		"SET": "from env", "EMPTY": "", "NEWLINE": "kept\n", "HUGE": strings.Repeat("x", secret.MaxSize+1),
	}
	files := map[string]string{
		"/bots/plain":    "from file",
		"/bots/newline":  "from file\r\n",
		"/bots/empty":    "\n",
		"/bots/huge":     strings.Repeat("x", secret.MaxSize+1),
		"/bots/largest":  strings.Repeat("x", secret.MaxSize) + "\n",
		"/run/elsewhere": "absolute",
	}
	resolver := secret.Resolver{
		Dir:       "/bots",
		LookupEnv: func(name string) (string, bool) { text, ok := env[name]; return text, ok },
		ReadFile: func(path string) ([]byte, error) {
			if text, ok := files[path]; ok {
				return []byte(text), nil
			}
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		},
	}

	tests := map[string]struct {
		ref  secret.Ref
		want string
		err  string
	}{
		"absolute file":      {ref: secret.Ref{File: "/run/elsewhere"}, want: "absolute"},
		"both":               {ref: secret.Ref{Env: "SET", File: "plain"}, err: "want exactly one of env and file"},
		"empty file":         {ref: secret.Ref{File: "empty"}, err: "the secret is empty"},
		"empty variable":     {ref: secret.Ref{Env: "EMPTY"}, err: "the secret is empty"},
		"env":                {ref: secret.Ref{Env: "SET"}, want: "from env"},
		"env keeps newline":  {ref: secret.Ref{Env: "NEWLINE"}, want: "kept\n"},
		"file":               {ref: secret.Ref{File: "plain"}, want: "from file"},
		"file trims newline": {ref: secret.Ref{File: "newline"}, want: "from file"},
		"huge file":          {ref: secret.Ref{File: "huge"}, err: "the secret is longer than 65536 bytes"},
		"huge variable":      {ref: secret.Ref{Env: "HUGE"}, err: "the secret is longer than 65536 bytes"},
		"largest file":       {ref: secret.Ref{File: "largest"}, want: strings.Repeat("x", secret.MaxSize)},
		"missing file":       {ref: secret.Ref{File: "hunter2"}, err: "the file cannot be read: file does not exist"},
		"missing variable":   {ref: secret.Ref{Env: "NOT_SET"}, err: "environment variable NOT_SET is not set"},
		"neither":            {ref: secret.Ref{}, err: "want exactly one of env and file"},
		"value instead of env": {
			ref: secret.Ref{Env: "sk_live_hunter2"}, err: "there is no environment variable of this name",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := resolver.Resolve(test.ref)
			if test.err != "" {
				require.EqualError(t, err, test.err)
				require.True(t, got.IsZero())
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.want, got.Reveal())
		})
	}
}

func TestResolveFromTheSystem(t *testing.T) {
	t.Setenv("HOOKTURN_TEST_SECRET", "from env")
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "key"), []byte("from file\n"), 0o600))
	resolver := secret.Resolver{Dir: dir}

	got, err := resolver.Resolve(secret.Ref{Env: "HOOKTURN_TEST_SECRET"})
	require.NoError(t, err)
	require.Equal(t, "from env", got.Reveal())

	got, err = resolver.Resolve(secret.Ref{File: "key"})
	require.NoError(t, err)
	require.Equal(t, "from file", got.Reveal())

	require.Equal(t, filepath.Join(dir, "key"), resolver.Path(secret.Ref{File: "key"}))
	require.Empty(t, resolver.Path(secret.Ref{Env: "HOOKTURN_TEST_SECRET"}))
}
