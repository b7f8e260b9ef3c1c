package app

import (
	"context"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/callback"
)

// callbackKey is the name of the key that workers make callback addresses with and starters open them.
const callbackKey = "callback"

func openSealer(ctx context.Context, s bus.Streams) (*callback.Sealer, error) {
	key, err := bus.NewKeys(s).Ensure(ctx, callbackKey, callback.NewKey)
	if err != nil {
		return nil, err
	}
	return callback.NewSealer(key)
}
