package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/gateway"
	"github.com/hookturn/hookturn/internal/signedurl"
	"github.com/hookturn/hookturn/internal/store"
)

// Purposes of signed URLs. Each has its own key, so that a process that signs one kind of URL cannot sign the other. A
// key is stored under the name of its purpose; internal/permissions defines which user may read it.
const (
	purposeCallback = "callback-address"
	purposeFileLink = "file-link"
)

// createKey creates a shared key when none is stored; a nil one only reads the key, and has none until another process has
// stored one.
type createKey func() ([]byte, error)

// openSigner returns a signer of URLs with the key that all processes share, which follows the key when it is replaced.
func openSigner(
	ctx context.Context, b *base, purpose string, create createKey, log *slog.Logger,
) (*signedurl.Signer, error) {
	signer := signedurl.New(purpose)
	key := store.SharedKey{
		Name: purpose, Create: create, Life: signedLife(purpose) + signedurl.ClockMargin, Use: signer.Use, Log: log,
	}
	shared, err := store.NewKeys(b.js, b.streams).Share(ctx, key)
	if err != nil {
		return nil, err
	}
	signer.OnUnknown(func() bool { return shared.Reread(context.WithoutCancel(ctx)) })
	return signer, nil
}

// signedLife returns how long a URL of a purpose is valid at most: a callback address as long as its step, a link to a file
// as long as any.
func signedLife(purpose string) time.Duration {
	if purpose == purposeFileLink {
		return gateway.LinkFor
	}
	var longest time.Duration
	for _, spec := range dialects.Specs() {
		longest = max(longest, spec.TimeoutMax)
	}
	return longest
}
