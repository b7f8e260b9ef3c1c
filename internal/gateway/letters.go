package gateway

import (
	"context"
	"net/http"

	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/internal/letterapi"
)

// LettersMax bounds the requests for dead letters of one tenant that this process serves at a time: each reads the stream.
const LettersMax = 4

// letters serves the dead letters of the token's tenant.
func (o Options) letters(
	serve func(letterapi.API, http.ResponseWriter, *http.Request, letterapi.Caller) error,
) httpapi.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		tenant, ok := o.EventTokens.tenant(httpapi.Bearer(r))
		if !ok {
			return httpapi.Unauthorized()
		}
		if err := o.enter(r, tenant); err != nil {
			return err
		}
		release, err := o.Engines.letters.take(tenant, LettersMax)
		if err != nil {
			return err
		}
		defer release()
		ctx, cancel := context.WithTimeout(r.Context(), publishTimeout)
		defer cancel()
		return serve(o.Engines.Letters, w, r.WithContext(ctx), letterapi.Caller{Tenant: tenant, Name: "engine of " + tenant})
	}
}

// replay publishes an event of the token's tenant again, while the tenant's events have room.
func (o Options) replay(api letterapi.API, w http.ResponseWriter, r *http.Request, c letterapi.Caller) error {
	if err := o.roomForEvent(r.Context(), c.Tenant, isNew); err != nil {
		return err
	}
	return api.Replay(w, r, c)
}
