package adminapi

import (
	"net/http"
	"strconv"

	"github.com/hookturn/hookturn/internal/audit"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/internal/letterapi"
	"github.com/hookturn/hookturn/schemas"
)

const lettersPath = "/admin/v1/deadletters"

// letters serves the dead letters of all tenants.
func (a API) letters() http.Handler {
	serve := func(
		serve func(letterapi.API, http.ResponseWriter, *http.Request, letterapi.Caller) error,
	) http.Handler {
		return httpapi.Serve(a.Log, func(w http.ResponseWriter, r *http.Request) error {
			return serve(a.Letters, w, r, letterapi.Caller{
				Name: operatorOf(r.Context()).Name,
				Audited: func(of schemas.BotID, sequence uint64, replay func() error) error {
					c := audit.Change{
						BotID: of, Action: schemas.AuditDeadLettersReplay, Subject: strconv.FormatUint(sequence, 10),
					}
					return audited(r, a.Channels.Audit, a.Log, c, func() (string, error) { return "", replay() })
				},
			})
		})
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+lettersPath, serve(letterapi.API.List))
	mux.Handle("GET "+lettersPath+"/{sequence}", serve(letterapi.API.Show))
	mux.Handle("POST "+lettersPath+"/{sequence}/replay", serve(letterapi.API.Replay))
	mux.Handle(lettersPath, httpapi.Serve(a.Log, httpapi.Only(http.MethodGet)))
	mux.Handle(lettersPath+"/{sequence}", httpapi.Serve(a.Log, httpapi.Only(http.MethodGet)))
	mux.Handle(lettersPath+"/{sequence}/replay", httpapi.Serve(a.Log, httpapi.Only(http.MethodPost)))
	mux.Handle("/", httpapi.Serve(a.Log, httpapi.NotFound))
	return mux
}
