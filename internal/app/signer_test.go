package app

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/gateway"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/internal/signedurl"
)

// TestSigner_ReadsKeyWhenItNeedsOne: a process that stores no keys starts before any that does, and signs as soon as a key
// is stored, before its next look.
func TestSigner_ReadsKeyWhenItNeedsOne(t *testing.T) {
	t.Parallel()
	url := natstest.Start(t).ClientURL()
	start := func(create createKey) *signedurl.Signer {
		nc, js, err := bus.Connect(t.Context(), natsclient.Login{URL: url}, t.Name(), nil)
		require.NoError(t, err)
		t.Cleanup(nc.Close)
		streams, err := bus.Setup(t.Context(), js, bus.StreamOptions{})
		require.NoError(t, err)
		signer, err := openSigner(t.Context(), &base{js: js, streams: streams}, purposeFileLink, create,
			slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		return signer
	}
	codeWorker := start(nil)
	require.False(t, codeWorker.Ready())
	gateway := start(signedurl.NewKey)
	require.True(t, codeWorker.Ready())
	link := signedurl.Payload{Owner: "default/shop", Item: "f1", Expires: time.Now().Add(time.Hour)}
	_, err := gateway.Verify(codeWorker.Sign(link), time.Now())
	require.NoError(t, err)
}

// TestSigner_KeyReplaced loses the key of a running process to one that has just started: each verifies what the other
// signs, before and after the loss, and so does one that starts later.
func TestSigner_KeyReplaced(t *testing.T) {
	t.Parallel()
	url := natstest.Start(t).ClientURL()
	start := func() (*base, *signedurl.Signer) {
		nc, js, err := bus.Connect(t.Context(), natsclient.Login{URL: url}, t.Name(), nil)
		require.NoError(t, err)
		t.Cleanup(nc.Close)
		b := &base{js: js}
		b.streams, err = bus.Setup(t.Context(), js, bus.StreamOptions{})
		require.NoError(t, err)
		signer, err := openSigner(t.Context(), b, purposeCallback, signedurl.NewKey, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		return b, signer
	}
	payload := signedurl.Payload{Owner: "conversation/default/shop/c-1", Item: "e-1", Expires: time.Now().Add(time.Hour)}
	ofA, a := start()
	tokens := []string{a.Sign(payload)}
	bucket, err := ofA.js.Stream(t.Context(), "KV_"+bus.BucketKeys)
	require.NoError(t, err)
	require.NoError(t, bucket.Purge(t.Context())) // or a server can recover the key
	require.NoError(t, ofA.js.DeleteStream(t.Context(), "KV_"+bus.BucketKeys))
	ofB, b := start()
	tokens = append(tokens, b.Sign(payload))

	_, err = b.Verify(tokens[0], time.Now())
	require.ErrorIs(t, err, signedurl.ErrUnknown, "the running process did not store its key yet: as in a new installation")
	_, err = a.Verify(tokens[1], time.Now())
	require.NoError(t, err, "it reads the key when it needs it")
	for _, one := range []*base{ofA, ofB} {
		require.NoError(t, bus.Ready(t.Context(), one.js))
	}
	_, c := start()
	tokens = append(tokens, a.Sign(payload), b.Sign(payload), c.Sign(payload))
	require.Equal(t, tokens[1], tokens[2], "one key signs")
	for _, signer := range []*signedurl.Signer{a, b, c} {
		for i, token := range tokens {
			_, err := signer.Verify(token, time.Now())
			require.NoError(t, err, i)
		}
	}
}

func TestSigner_KeysOutliveURLs(t *testing.T) {
	t.Parallel()
	require.Equal(t, gateway.LinkFor, signedLife(purposeFileLink))
	require.GreaterOrEqual(t, signedLife(purposeCallback), 10*time.Minute)
	for _, spec := range dialects.Specs() {
		require.GreaterOrEqual(t, signedLife(purposeCallback), spec.TimeoutMax, spec.Name)
	}
}
