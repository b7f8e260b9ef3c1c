package callback

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func sealer(t *testing.T) *Sealer {
	t.Helper()
	key, err := NewKey()
	require.NoError(t, err)
	s, err := NewSealer(key)
	require.NoError(t, err)
	return s
}

var claim = Claim{Workflow: "conversation/default/shop/c-42", Event: "e\n1", Expires: time.Unix(1_800_000_000, 0)}

func TestATokenStandsForItsClaim(t *testing.T) {
	t.Parallel()
	s := sealer(t)
	token := s.Seal(claim)
	require.Equal(t, token, s.Seal(claim), "every attempt sends the same")
	require.Regexp(t, "^[A-Za-z0-9_-]+$", token)
	got, err := s.Open(token, claim.Expires)
	require.NoError(t, err)
	require.Equal(t, claim, got)
	_, err = s.Open(token, claim.Expires.Add(time.Second))
	require.ErrorIs(t, err, ErrExpired)
}

func TestNobodyElseMakesOne(t *testing.T) {
	t.Parallel()
	s := sealer(t)
	token := s.Seal(claim)
	_, err := sealer(t).Open(token, claim.Expires)
	require.ErrorIs(t, err, ErrUnknown, "another key")
	for i := range token { // every character counts
		changed := []byte(token)
		changed[i] ^= 1
		_, err := s.Open(string(changed), claim.Expires)
		require.ErrorIs(t, err, ErrUnknown)
	}
	signed := func(claim string) string { return base64.RawURLEncoding.EncodeToString(append(s.mac(claim), claim...)) }
	for name, odd := range map[string]string{
		"empty": "", "short": "abcd", "cut": token[:len(token)-1], "longer": token + "A", "padded": token + "==",
		"no base64": strings.Repeat("%", 100), "endless": strings.Repeat("A", 1<<20),
		"signed, of no form": signed("1"), "signed, of another form": signed("soon\nw\ne"),
	} {
		_, err := s.Open(odd, time.Unix(0, 0))
		require.ErrorIs(t, err, ErrUnknown, name)
	}
}

func TestKeysHaveTheirLength(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 16, 31, 33} {
		_, err := NewSealer(make([]byte, size))
		require.Error(t, err)
	}
}

func TestOffersAreBelowTheGateway(t *testing.T) {
	t.Parallel()
	s := sealer(t)
	for _, gateway := range []string{"https://hooks.example/in", "https://hooks.example/in/"} {
		url := Offers{Sealer: s, Gateway: gateway}.URL(claim.Workflow, claim.Event, claim.Expires)
		token, below := strings.CutPrefix(url, "https://hooks.example/in/callbacks/")
		require.True(t, below, url)
		got, err := s.Open(token, claim.Expires)
		require.NoError(t, err)
		require.Equal(t, claim, got)
	}
}

func FuzzOpen(f *testing.F) {
	s, err := NewSealer(make([]byte, KeySize))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.Seal(claim))
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		if c, err := s.Open(token, time.Unix(0, 0)); err == nil {
			require.Equal(t, token, s.Seal(c))
		}
	})
}
