package signature

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/secret"
)

const haptikBody = `{"step":"ORDER_STATUS","event":"API_INTEGRATION",` +
	`"entities":{"product_id":[{"detection":"message","original_text":"71","entity_value":"71"}]}}`

func secrets(texts ...string) []secret.Value {
	var s []secret.Value
	for _, t := range texts {
		s = append(s, secret.New(t))
	}
	return s
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, s := range Schemes() {
		got, err := Parse(string(s))
		require.NoError(t, err)
		require.Equal(t, s, got)
	}
	for _, bad := range []string{"", "sha1", "HUB-SHA1", "standard ", "v1"} {
		_, err := Parse(bad)
		require.ErrorIs(t, err, ErrUnknownScheme, bad)
		require.ErrorContains(t, err, "hub-sha256", "the error names what can be used")
	}
}

// Vectors that other programs made: the vendor's scheme computed with python and openssl, GitHub's documentation, and the
// Standard Webhooks libraries.
func TestSign_Vectors(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		name, body, secret string
		scheme             Scheme
		id                 string
		at                 int64
		header, want       string
	}{
		{name: "haptik A", scheme: HubSHA1, body: haptikBody, secret: "hunter2",
			header: "X-Hub-Signature", want: "sha1=06f40c7fbd2a9c5c3fa7de4c2e801a0f492c7459"},
		{name: "haptik B, not ASCII", scheme: HubSHA1, body: `{"user":{"full_name":"Zoë"},"entities":{}}`, secret: "test",
			header: "X-Hub-Signature", want: "sha1=807696c37f7c47ad6f0525457b356f0e0b87f878"},
		{name: "haptik C, empty", scheme: HubSHA1, body: "", secret: "test",
			header: "X-Hub-Signature", want: "sha1=fc85087452696e5bcbe3b7a71fde00e320af2cca"},
		{name: "haptik D, a space", scheme: HubSHA1, body: `{"a": 1}`, secret: "clé",
			header: "X-Hub-Signature", want: "sha1=3cafe02634121e20b5bef776b28481ba82bf22f9"},
		{name: "haptik E, no space", scheme: HubSHA1, body: `{"a":1}`, secret: "clé",
			header: "X-Hub-Signature", want: "sha1=e2c506403e3ea5591cff533eee077d1cdf4e8f58"},
		{name: "github", scheme: HubSHA256, body: "Hello, World!", secret: "It's a Secret to Everybody",
			header: "X-Hub-Signature-256",
			want:   "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
		{name: "standard webhooks", scheme: Standard, body: `{"test": 2432232314}`,
			secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", id: "msg_p5jXN8AQM9LWM0D4loKWxJek", at: 1614265330,
			header: "webhook-signature", want: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
	} {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			h, at := http.Header{}, time.Unix(v.at, 0)
			require.NoError(t, Sign(h, []Scheme{v.scheme}, secrets(v.secret), v.id, at, []byte(v.body)))
			require.Equal(t, v.want, h.Get(v.header))
			require.NoError(t, Verify(h, v.scheme, secrets(v.secret), at, []byte(v.body)))
			require.ErrorIs(t, Verify(h, v.scheme, secrets(v.secret), at, []byte(v.body+" ")), ErrMismatch)
			require.ErrorIs(t, Verify(h, v.scheme, secrets(v.secret+"x"), at, []byte(v.body)), expectWrongSecret(v.secret))
		})
	}
}

// expectWrongSecret: one letter more makes base64 of a bad length out of a whsec_ secret.
func expectWrongSecret(s string) error {
	if strings.HasPrefix(s, "whsec_") {
		return ErrBadSecret
	}
	return ErrMismatch
}

func TestSign_AllSchemes(t *testing.T) {
	t.Parallel()
	h, at := http.Header{}, time.Unix(1700000000, 0)
	require.NoError(t, Sign(h, Schemes(), secrets("new", "old"), "id-1", at, []byte("body")))
	require.Len(t, h, 5)
	require.Equal(t, "id-1", h.Get(HeaderID))
	require.Equal(t, "1700000000", h.Get(HeaderTimestamp))
	for _, s := range Schemes() {
		require.NoError(t, Verify(h, s, secrets("new"), at, []byte("body")), s)
	}
}

func TestSign_Rotation(t *testing.T) {
	t.Parallel()
	h, at, body := http.Header{}, time.Unix(1700000000, 0), []byte("body")
	require.NoError(t, Sign(h, Schemes(), secrets("new", "old"), "id", at, body))
	require.Len(t, strings.Fields(h.Get(HeaderStandard)), 2)
	require.NoError(t, Verify(h, Standard, secrets("old"), at, body), "a standard header serves both secrets")
	require.ErrorIs(t, Verify(h, HubSHA1, secrets("old"), at, body), ErrMismatch, "a hub header holds the newest only")
	require.ErrorIs(t, Verify(h, HubSHA256, secrets("old"), at, body), ErrMismatch)
	for _, s := range Schemes() {
		require.NoError(t, Verify(h, s, secrets("newer", "new"), at, body), "any of the verifier's secrets counts: %s", s)
	}
}

func TestSign_StandardSecretForms(t *testing.T) {
	t.Parallel()
	at, body := time.Unix(1700000000, 0), []byte("body")
	encoded, raw := http.Header{}, http.Header{}
	require.NoError(t, Sign(encoded, []Scheme{Standard}, secrets("whsec_a2V5"), "id", at, body))
	require.NoError(t, Sign(raw, []Scheme{Standard}, secrets("key"), "id", at, body))
	require.Equal(t, raw, encoded, "a2V5 is the base64 of key")

	require.NoError(t, Sign(http.Header{}, []Scheme{HubSHA1}, secrets("whsec_!"), "", at, body),
		"the hub schemes know no whsec_ form")
}

func TestSign_ErrorsLeaveHeaderUnchanged(t *testing.T) {
	t.Parallel()
	good := secrets("s3cret-value")
	for _, c := range []struct {
		name    string
		schemes []Scheme
		secrets []secret.Value
		id      string
		want    error
	}{
		{"no secret", []Scheme{HubSHA1}, nil, "id", ErrNoSecret},
		{"empty secret", []Scheme{HubSHA1}, secrets(""), "id", ErrNoSecret},
		{"empty old secret", []Scheme{HubSHA1}, secrets("a", ""), "id", ErrNoSecret},
		{"secret not base64", []Scheme{HubSHA1, Standard}, secrets("whsec_s3cret-value"), "id", ErrBadSecret},
		{"whsec without a key", []Scheme{Standard}, secrets("whsec_"), "id", ErrBadSecret},
		{"unknown scheme", []Scheme{HubSHA1, "md5"}, good, "id", ErrUnknownScheme},
		{"no id", []Scheme{Standard}, good, "", ErrBadID},
		{"id with a dot", []Scheme{Standard}, good, "a.1", ErrBadID},
		{"id with a line end", []Scheme{Standard}, good, "a\r\nb", ErrBadID},
		{"id not ASCII", []Scheme{Standard}, good, "é", ErrBadID},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			err := Sign(h, c.schemes, c.secrets, c.id, time.Unix(0, 0), nil)
			require.ErrorIs(t, err, c.want)
			require.NotContains(t, err.Error(), "s3cret-value")
			require.Empty(t, h)
		})
	}
	h := http.Header{}
	require.NoError(t, Sign(h, nil, nil, "", time.Time{}, nil), "nothing to sign needs no secret")
	require.Empty(t, h)
}

func TestVerify_Errors(t *testing.T) {
	t.Parallel()
	at, body := time.Unix(1700000000, 0), []byte("body")
	for _, c := range []struct {
		name   string
		scheme Scheme
		change func(http.Header)
		want   error
	}{
		{"hub-sha1 missing", HubSHA1, del(HeaderHubSHA1), ErrMissing},
		{"hub-sha256 missing", HubSHA256, del(HeaderHubSHA256), ErrMissing},
		{"hub without prefix", HubSHA1, set(HeaderHubSHA1, strings.Repeat("0", 40)), ErrMalformed},
		{"hub of another hash", HubSHA256, set(HeaderHubSHA256, "sha1="+strings.Repeat("0", 40)), ErrMalformed},
		{"hub too short", HubSHA1, set(HeaderHubSHA1, "sha1=00"), ErrMalformed},
		{"hub not hex", HubSHA1, set(HeaderHubSHA1, "sha1="+strings.Repeat("x", 40)), ErrMalformed},
		{"hub twice", HubSHA1, func(h http.Header) { h.Add(HeaderHubSHA1, h.Get(HeaderHubSHA1)) }, ErrMalformed},
		{"hub zeros", HubSHA1, set(HeaderHubSHA1, "sha1="+strings.Repeat("0", 40)), ErrMismatch},
		{"no id", Standard, del(HeaderID), ErrMissing},
		{"no timestamp", Standard, del(HeaderTimestamp), ErrMissing},
		{"no signature", Standard, del(HeaderStandard), ErrMissing},
		{"another id", Standard, set(HeaderID, "other"), ErrMismatch},
		{"id with a dot", Standard, set(HeaderID, "a.b"), ErrMalformed},
		{"another timestamp", Standard, set(HeaderTimestamp, "1700000001"), ErrMismatch},
		{"timestamp not a number", Standard, set(HeaderTimestamp, "now"), ErrMalformed},
		{"timestamp with a sign", Standard, set(HeaderTimestamp, "+1700000000"), ErrMalformed},
		{"timestamp huge", Standard, set(HeaderTimestamp, strings.Repeat("9", 30)), ErrMalformed},
		{"only v1a", Standard, set(HeaderStandard, "v1a,AAAA"), ErrMalformed},
		{"not base64", Standard, set(HeaderStandard, "v1,!"), ErrMalformed},
		{"too short", Standard, set(HeaderStandard, "v1,AAAA"), ErrMalformed},
		{"unknown scheme", "md5", func(http.Header) {}, ErrUnknownScheme},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			require.NoError(t, Sign(h, Schemes(), secrets("s"), "id", at, body))
			c.change(h)
			require.ErrorIs(t, Verify(h, c.scheme, secrets("s"), at, body), c.want)
		})
	}
	require.ErrorIs(t, Verify(http.Header{}, HubSHA1, nil, at, body), ErrNoSecret)
}

func TestVerify_IgnoresOtherVersions(t *testing.T) {
	t.Parallel()
	h, at := http.Header{}, time.Unix(1700000000, 0)
	require.NoError(t, Sign(h, []Scheme{Standard}, secrets("s"), "id", at, nil))
	h.Set(HeaderStandard, "v1a,junk v2,more "+h.Get(HeaderStandard))
	require.NoError(t, Verify(h, Standard, secrets("s"), at, nil))
}

func TestVerify_Tolerance(t *testing.T) {
	t.Parallel()
	at := time.Unix(1700000000, 0)
	for _, c := range []struct {
		name string
		now  time.Time
		want error
	}{
		{"same moment", at, nil},
		{"old, at the edge", at.Add(Tolerance), nil},
		{"too old", at.Add(Tolerance + time.Second), ErrTooOld},
		{"new, at the edge", at.Add(-Tolerance), nil},
		{"too new", at.Add(-Tolerance - time.Second), ErrTooNew},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			require.NoError(t, Sign(h, Schemes(), secrets("s"), "id", at, nil))
			require.ErrorIs(t, Verify(h, Standard, secrets("s"), c.now, nil), c.want)
			require.NoError(t, Verify(h, HubSHA1, secrets("s"), c.now, nil), "the hub schemes carry no time")
		})
	}
}

func set(name, value string) func(http.Header) { return func(h http.Header) { h.Set(name, value) } }
func del(name string) func(http.Header)        { return func(h http.Header) { h.Del(name) } }
