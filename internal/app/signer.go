package app

import (
	"context"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/signedurl"
	"github.com/hookturn/hookturn/internal/store"
)

// Purposes of signed URLs. Each has its own key, so that a process that signs one kind of URL cannot sign the other. A
// key is stored under the name of its purpose; internal/permissions defines which user may read it.
const (
	purposeCallback = "callback-address"
	purposeFileLink = "file-link"
)

func openSigner(ctx context.Context, s bus.Streams, purpose string) (*signedurl.Signer, error) {
	key, err := store.NewKeys(s).Ensure(ctx, purpose, signedurl.NewKey)
	if err != nil {
		return nil, err
	}
	return signedurl.NewSigner(key, purpose)
}
