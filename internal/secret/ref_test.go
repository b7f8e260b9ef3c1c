package secret_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/secret"
)

// sources are those of the tenant acme, beside those of the tenant other.
func sources(t *testing.T) secret.Sources {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"acme/key": "acme's key\n", "acme/sub/key": "acme's sub key", "acme/key.pem": "-----BEGIN X-----\nAA\n-----END X-----\n",
		"other/key": "other's key", "key": "a key without a tenant",
	} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	for link, target := range map[string]string{
		"inside": "key", "outside": "../other/key", "absolute": filepath.Join(dir, "other/key"), "directory": "..",
	} {
		require.NoError(t, os.Symlink(target, filepath.Join(dir, "acme", link)))
	}
	env := map[string]string{
		"HOOKTURN_SECRET_ACME_TOKEN": "acme's token", "HOOKTURN_SECRET_ACME_KEY": "shadowed by the file",
		"HOOKTURN_SECRET_OTHER_TOKEN": "other's token", "HOOKTURN_SECRET_ACME_": "of no name",
		"HOOKTURN_NATS_URL": "nats://user:hidden@nats", "HOOKTURN_OPERATOR_TOKEN": "hidden", "TEMPORAL_API_KEY": "hidden",
		"OTEL_EXPORTER_OTLP_HEADERS": "hidden", "NATS_PASSWORD": "hidden", "SHOP_KEY": "shop's key", "EMPTY": "",
	}
	return secret.Sources{
		Tenant: "acme", Dir: dir, LookupEnv: func(name string) (string, bool) { text, ok := env[name]; return text, ok },
	}
}

func TestSources_Bounded(t *testing.T) {
	t.Parallel()
	s := sources(t)
	for want, refs := range map[string][]secret.Ref{
		"acme's key":                             {{Secret: "key"}, {File: "key"}, {File: filepath.Join(s.Dir, "acme", "key")}, {File: "inside"}, {Secret: "inside"}},
		"acme's sub key":                         {{File: "sub/key"}, {File: "sub/../sub/key"}},
		"acme's token":                           {{Secret: "token"}, {Env: "HOOKTURN_SECRET_ACME_TOKEN"}},
		"-----BEGIN X-----\nAA\n-----END X-----": {{Secret: "key.pem"}},
	} {
		for _, ref := range refs {
			got, err := s.Resolve(ref)
			require.NoError(t, err, "%v", ref)
			require.Equal(t, want, got.Reveal(), "%v", ref)
		}
	}
	for _, ref := range []secret.Ref{
		{File: "../other/key"}, {File: "../key"}, {File: filepath.Join(s.Dir, "other/key")}, {File: "/etc/hostname"},
		{File: "outside"}, {File: "absolute"}, {File: "directory/other/key"}, {Secret: "outside"}, {Secret: "absolute"},
		{Secret: "../other/key"}, {Secret: "sub/key"}, {Secret: ".."}, {Secret: "."}, {File: "sub"}, {Secret: "sub"},
		{Env: "HOOKTURN_SECRET_OTHER_TOKEN"}, {Env: "HOOKTURN_SECRET_ACME_"}, {Env: "HOOKTURN_SECRET_ACME"}, {Env: "SHOP_KEY"},
		{Env: "HOOKTURN_NATS_URL"}, {Env: "HOOKTURN_OPERATOR_TOKEN"}, {Env: "TEMPORAL_API_KEY"}, {Env: "EMPTY"},
		{}, {Env: "HOOKTURN_SECRET_ACME_TOKEN", Secret: "token"}, {Secret: "key", File: "key"}, {Secret: "missing"},
	} {
		got, err := s.Resolve(ref)
		require.Error(t, err, "%v", ref)
		require.True(t, got.IsZero())
		require.NotContains(t, err.Error(), "hidden")
		require.NotContains(t, err.Error(), s.Dir)
	}
}

func TestSources_Free(t *testing.T) {
	t.Parallel()
	s := sources(t)
	s.Free, s.FreeDir = true, t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(s.FreeDir, "key"), []byte("beside the bot file"), 0o600))
	require.NoError(t, os.Symlink(filepath.Join(s.Dir, "other/key"), filepath.Join(s.FreeDir, "link")))
	require.NoError(t, os.Symlink("/proc/self/environ", filepath.Join(s.FreeDir, "environ")))

	for want, refs := range map[string][]secret.Ref{
		"beside the bot file": {{File: "key"}, {File: filepath.Join(s.FreeDir, "key")}},
		"acme's key":          {{Secret: "key"}, {File: filepath.Join(s.Dir, "acme/key")}},
		"acme's token":        {{Secret: "token"}, {Env: "HOOKTURN_SECRET_ACME_TOKEN"}},
		"shop's key":          {{Env: "SHOP_KEY"}},
	} {
		for _, ref := range refs {
			got, err := s.Resolve(ref)
			require.NoError(t, err, "%v", ref)
			require.Equal(t, want, got.Reveal(), "%v", ref)
		}
	}
	for _, ref := range []secret.Ref{
		{Env: "HOOKTURN_SECRET_OTHER_TOKEN"}, {Env: "HOOKTURN_NATS_URL"}, {Env: "HOOKTURN_OPERATOR_TOKEN"}, {Env: "TEMPORAL_API_KEY"},
		{Env: "OTEL_EXPORTER_OTLP_HEADERS"}, {Env: "NATS_PASSWORD"}, {Env: "temporal_api_key"},
		{File: filepath.Join(s.Dir, "other/key")}, {File: "link"}, {File: "environ"}, {File: "/proc/self/environ"},
		{File: "/proc/self/root" + filepath.Join(s.Dir, "other/key")}, {File: "/dev/null"},
	} {
		_, err := s.Resolve(ref)
		require.Error(t, err, "%v", ref)
		require.NotContains(t, err.Error(), "hidden")
	}
}

func TestSources_Errors(t *testing.T) {
	t.Parallel()
	s := sources(t)
	none := s
	none.Dir = ""
	for want, test := range map[string]struct {
		from secret.Sources
		ref  secret.Ref
	}{
		"the directory acme of --secrets-dir has no such file, and environment variable HOOKTURN_SECRET_ACME_ORDERS is not set": {
			s, secret.Ref{Secret: "orders"},
		},
		"environment variable HOOKTURN_SECRET_ACME_ORDERS is not set, and there is no --secrets-dir": {none, secret.Ref{Secret: "orders"}},
		"environment variable HOOKTURN_SECRET_ACME_… is not set, and there is no --secrets-dir":      {none, secret.Ref{Secret: "sk_live_hunter2"}},
		"environment variable HOOKTURN_SECRET_ACME_X is not set":                                     {s, secret.Ref{Env: "HOOKTURN_SECRET_ACME_X"}},
		"the variable is not a secret of tenant acme: its variables begin with HOOKTURN_SECRET_ACME_ (--free-secrets allows others, for development)": {
			s, secret.Ref{Env: "sk_live_hunter2"},
		},
		"files need --secrets-dir (--free-secrets allows any file, for development)": {none, secret.Ref{File: "key"}},
		"the file is outside of the directory acme of --secrets-dir":                 {s, secret.Ref{File: "../hunter2"}},
		"the file cannot be read: no such file or directory":                         {s, secret.Ref{File: "hunter2"}},
		"want exactly one of secret, env and file":                                   {s, secret.Ref{}},
	} {
		_, err := test.from.Resolve(test.ref)
		require.EqualError(t, err, want)
	}
}

func TestSources_Path(t *testing.T) {
	t.Parallel()
	s := secret.Sources{Tenant: "acme", Dir: "/secrets"}
	require.Equal(t, "/secrets/acme/key", s.Path(secret.Ref{Secret: "key"}))
	require.Equal(t, "/secrets/acme/key", s.Path(secret.Ref{File: "key"}))
	require.Equal(t, "/secrets/acme/key", s.Path(secret.Ref{File: "/secrets/acme/key"}))
	for _, ref := range []secret.Ref{{Env: "X"}, {File: "../other/key"}, {File: "/secrets/other/key"}, {Secret: "../key"}, {}} {
		require.Empty(t, s.Path(ref), "%v", ref)
	}
	s.Free, s.FreeDir = true, "/bots"
	require.Equal(t, "/bots/key", s.Path(secret.Ref{File: "key"}))
	require.Equal(t, "/etc/key", s.Path(secret.Ref{File: "/etc/key"}))
	require.Equal(t, "/secrets/acme/key", s.Path(secret.Ref{Secret: "key"}))
}

// FuzzEnvName: no two pairs of a tenant and a secret have one variable, and a tenant's prefix begins its own variables only.
func FuzzEnvName(f *testing.F) {
	for _, pair := range [][4]string{
		{"a-b", "c", "a_b", "c"}, {"a", "b_c", "a_b", "c"}, {"a", "_b", "a_", "b"}, {"Acme", "k", "acme", "k"},
		{"a", "b-c", "a", "b_c"}, {"ax2D", "k", "a-", "k"}, {"a", "x2Db", "a", "-b"}, {"a", "k.e", "a", "k_e"},
	} {
		f.Add(pair[0], pair[1], pair[2], pair[3])
	}
	f.Fuzz(func(t *testing.T, tenant1, name1, tenant2, name2 string) {
		if tenant1 == tenant2 && name1 == name2 {
			return
		}
		one, two := secret.EnvName(tenant1, name1), secret.EnvName(tenant2, name2)
		require.NotEqual(t, one, two)
		if tenant1 != tenant2 {
			s := secret.Sources{Tenant: tenant1, Free: true, LookupEnv: func(string) (string, bool) { return "theirs", true }}
			_, err := s.Resolve(secret.Ref{Env: two})
			require.Error(t, err)
		}
	})
}

func TestEnvName(t *testing.T) {
	t.Parallel()
	require.Equal(t, "HOOKTURN_SECRET_DEFAULT_SHOP_ORDERS", secret.EnvName("default", "shop_orders"))
	require.Equal(t, "HOOKTURN_SECRET_MYx2DSHOP_KEYx2D2", secret.EnvName("my-shop", "key-2"))
	require.Equal(t, "HOOKTURN_SECRET_x41x5FB_x43", secret.EnvName("A_b", "C"))
}

func TestParse(t *testing.T) {
	t.Parallel()
	const pem = "-----BEGIN CERTIFICATE-----\r\nAAAA\r\n-----END CERTIFICATE-----"
	for text, want := range map[string]string{
		"plain": "plain", "plain\n": "plain", "plain\r\n": "plain", "plain\r": "plain", "\uFEFFplain\r\n": "plain",
		"Bearer a b": "Bearer a b", "pässwört": "pässwört", strings.Repeat("x", secret.MaxSize) + "\n": strings.Repeat("x", secret.MaxSize),
		"whsec_c2VjcmV0": "whsec_c2VjcmV0", "v1,whsec_c2VjcmV0\n": "whsec_c2VjcmV0", "v1,other": "v1,other",
		pem + "\r\n": pem, "\uFEFF" + pem: pem,
	} {
		got, err := secret.Parse(text)
		require.NoError(t, err, "%q", text)
		require.Equal(t, want, got.Reveal())
	}
	for text, want := range map[string]string{
		"": "empty", "\n": "empty", "\uFEFF": "empty", "\uFEFF\r\n": "empty",
		"hunter\n\n": "several lines", "hunter\n2": "several lines", "\nhunter": "several lines", "hunter\r\n\r\n": "several lines",
		"hunter\u2028": "several lines", "hunter\x00": "control character", "hun\tter": "control character",
		"hunter\x1b": "control character", "hun\uFEFFter": "control character", "hunter\u200b": "control character",
		" hunter": "space", "hunter ": "space", "hunter \n": "space", "hunter\u00a0": "space",
		"\xff\xfeh\x00u\x00": "UTF-16", "hunter\xff": "not UTF-8", pem + "\x00": "control character",
		strings.Repeat("x", secret.MaxSize+1): "longer than 65536 bytes",
	} {
		got, err := secret.Parse(text)
		require.ErrorContains(t, err, want, "%q", text)
		require.NotContains(t, err.Error(), "hunter")
		require.True(t, got.IsZero())
	}
}

// TestParse_OneRule: the same text means the same secret wherever it is kept.
func TestParse_OneRule(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"key", "\uFEFFkey\r\n", "key\n", "v1,whsec_a2V5", "key\n\n", "", "k\x00y", " key"} {
		dir := t.TempDir()
		require.NoError(t, os.Mkdir(filepath.Join(dir, "acme"), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "acme", "key"), []byte(text), 0o600))
		s := secret.Sources{Tenant: "acme", LookupEnv: func(string) (string, bool) { return text, true }}
		want, wantErr := secret.Parse(text)
		withDir := s
		withDir.Dir = dir
		for _, read := range []func() (secret.Value, error){
			func() (secret.Value, error) { return s.Resolve(secret.Ref{Secret: "key"}) },
			func() (secret.Value, error) { return s.Resolve(secret.Ref{Env: "HOOKTURN_SECRET_ACME_KEY"}) },
			func() (secret.Value, error) { return withDir.Resolve(secret.Ref{Secret: "key"}) },
			func() (secret.Value, error) { return withDir.Resolve(secret.Ref{File: "key"}) },
		} {
			got, err := read()
			require.Equal(t, wantErr, err, "%q", text)
			require.Equal(t, want.Reveal(), got.Reveal(), "%q", text)
		}
	}
}

func TestStandardKey(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"plain": "plain", "whsec_c2VjcmV0IQ==": "secret!", "whsec_c2VjcmV0IQ": "secret!"} {
		key, err := secret.New(text).StandardKey()
		require.NoError(t, err)
		require.Equal(t, want, string(key))
	}
	for _, text := range []string{"whsec_", "whsec_a", "whsec_****"} {
		_, err := secret.New(text).StandardKey()
		require.Error(t, err)
		require.False(t, secret.New(text).IsWhsec())
	}
	one, two := secret.Generate(), secret.Generate()
	require.NotEqual(t, one.Reveal(), two.Reveal())
	require.True(t, one.IsWhsec())
	parsed, err := secret.Parse(one.Reveal() + "\n")
	require.NoError(t, err)
	require.Equal(t, one.Reveal(), parsed.Reveal())
}
