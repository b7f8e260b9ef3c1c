package signedurl

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const purpose = "callback"

func newSigner(t *testing.T) *Signer {
	t.Helper()
	key, err := NewKey()
	require.NoError(t, err)
	s, err := NewSigner(key, purpose)
	require.NoError(t, err)
	return s
}

var payload = Payload{Owner: "conversation/default/shop/c-42", Item: "e\n1", Expires: time.Unix(1_800_000_000, 0)}

func TestSigner_SameTokenForPayload(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	token := s.Sign(payload)
	require.Equal(t, token, s.Sign(payload), "every attempt sends the same")
	require.Regexp(t, "^[A-Za-z0-9_-]+$", token)
	got, err := s.Verify(token, payload.Expires)
	require.NoError(t, err)
	require.Equal(t, payload, got)
	_, err = s.Verify(token, payload.Expires.Add(time.Second))
	require.ErrorIs(t, err, ErrExpired)
}

func TestSigner_TokenIsEncrypted(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	raw, err := base64.RawURLEncoding.DecodeString(s.Sign(payload))
	require.NoError(t, err)
	for _, part := range []string{"conversation", "default", "shop", "c-42", "e\n1", "1800000000"} {
		require.NotContains(t, string(raw), part)
	}
	other := payload
	other.Item = "e\n2"
	changed, err := base64.RawURLEncoding.DecodeString(s.Sign(other))
	require.NoError(t, err)
	same := 0
	for i := range raw {
		if raw[i] == changed[i] {
			same++
		}
	}
	require.Less(t, same, len(raw)/4, "tokens of similar payloads look alike: a nonce was used twice")
}

func TestSigner_InvalidTokens(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	token := s.Sign(payload)
	_, err := newSigner(t).Verify(token, payload.Expires)
	require.ErrorIs(t, err, ErrUnknown, "another key")
	for i := range token { // every character counts
		changed := []byte(token)
		changed[i] ^= 1
		_, err := s.Verify(string(changed), payload.Expires)
		require.ErrorIs(t, err, ErrUnknown)
	}
	signed := func(text string) string {
		nonce := make([]byte, nonceSize)
		return base64.RawURLEncoding.EncodeToString(s.all()[0].cipher.Seal(nonce, nonce, []byte(text), []byte(s.purpose)))
	}
	for name, odd := range map[string]string{
		"empty": "", "short": "abcd", "cut": token[:len(token)-1], "longer": token + "A", "padded": token + "==",
		"no base64": strings.Repeat("%", 100), "endless": strings.Repeat("A", 1<<20), "nonce alone": strings.Repeat("A", 16),
		"signed, without fields": signed("1"), "signed, with other fields": signed("soon\nw\ne"), "signed, empty": signed(""),
	} {
		_, err := s.Verify(odd, time.Unix(0, 0))
		require.ErrorIs(t, err, ErrUnknown, name)
	}
}

func TestSigner_OtherPurpose(t *testing.T) {
	t.Parallel()
	key := make([]byte, KeySize)
	callbacks, err := NewSigner(key, "callback")
	require.NoError(t, err)
	links, err := NewSigner(key, "file-link")
	require.NoError(t, err)
	_, err = links.Verify(callbacks.Sign(payload), payload.Expires)
	require.ErrorIs(t, err, ErrUnknown)
}

// TestSigner_ReplacedKey signs with the first key only, and verifies with all of them.
func TestSigner_ReplacedKey(t *testing.T) {
	t.Parallel()
	first, second := make([]byte, KeySize), []byte(strings.Repeat("k", KeySize))
	s := New(purpose)
	require.Empty(t, s.Sign(payload), "without a key")
	require.NoError(t, s.Use([][]byte{first}))
	old := s.Sign(payload)
	require.NoError(t, s.Use([][]byte{second, first}))
	require.Error(t, s.Use([][]byte{second, first, nil}), "the keys stay what they were")
	signed := s.Sign(payload)
	require.NotEqual(t, old, signed)
	for _, token := range []string{old, signed} {
		got, err := s.Verify(token, payload.Expires)
		require.NoError(t, err)
		require.Equal(t, payload, got)
	}
	require.NoError(t, s.Use([][]byte{second}))
	_, err := s.Verify(old, payload.Expires)
	require.ErrorIs(t, err, ErrUnknown)
}

// TestSigner_UnknownToken looks for more keys before a token is unknown.
func TestSigner_UnknownToken(t *testing.T) {
	t.Parallel()
	other, s := newSigner(t), newSigner(t)
	token := other.Sign(payload)
	calls, settled := 0, false
	s.OnUnknown(func() bool { calls++; return settled })
	_, err := s.Verify(token, payload.Expires)
	require.ErrorIs(t, err, ErrUnsettled)
	settled = true
	_, err = s.Verify(token, payload.Expires)
	require.ErrorIs(t, err, ErrUnknown)
	_, err = s.Verify("abcd", payload.Expires)
	require.ErrorIs(t, err, ErrUnknown)
	require.Equal(t, 2, calls, "not for what is not a token")
	s.OnUnknown(func() bool { s.keys.Store(other.keys.Load()); return false })
	got, err := s.Verify(token, payload.Expires)
	require.NoError(t, err)
	require.Equal(t, payload, got)
}

// TestSigner_Ready looks for a key without one.
func TestSigner_Ready(t *testing.T) {
	t.Parallel()
	s := New(purpose)
	require.False(t, s.Ready())
	looks := 0
	s.OnUnknown(func() bool { looks++; return true })
	require.False(t, s.Ready(), "no key is stored")
	s.OnUnknown(func() bool { looks++; return s.Use([][]byte{make([]byte, KeySize)}) == nil })
	require.True(t, s.Ready())
	require.True(t, s.Ready())
	require.Equal(t, 2, looks, "one that has a key does not look")
	require.NotEmpty(t, s.Sign(payload))
}

func TestSigner_KeyLength(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 16, 31, 33} {
		_, err := NewSigner(make([]byte, size), purpose)
		require.Error(t, err)
	}
}

func TestCallbacks_URLIsBelowTheGateway(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	for _, gateway := range []string{"https://hooks.example/in", "https://hooks.example/in/"} {
		url := Callbacks{Signer: s, Gateway: gateway}.URL(payload.Owner, payload.Item, payload.Expires)
		token, below := strings.CutPrefix(url, "https://hooks.example/in/callbacks/")
		require.True(t, below, url)
		got, err := s.Verify(token, payload.Expires)
		require.NoError(t, err)
		require.Equal(t, payload, got)
	}
}

func FuzzVerify(f *testing.F) {
	s, err := NewSigner(make([]byte, KeySize), purpose)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.Sign(payload))
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		if p, err := s.Verify(token, time.Unix(0, 0)); err == nil {
			require.Equal(t, token, s.Sign(p))
		}
	})
}
