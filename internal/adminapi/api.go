package adminapi

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/internal/letterapi"
	"github.com/hookturn/hookturn/internal/role"
	"github.com/hookturn/hookturn/schemas"
)

// timeout bounds the work of one request.
const timeout = 10 * time.Second

// API is the admin API. All fields but Codec are required.
type API struct {
	Operators *Operators
	Channels  Channels
	Letters   letterapi.API
	Codec     *Codec // nil: payloads are not encrypted
	Log       *slog.Logger
}

// Handler returns the handler of all paths that need a token.
func (a API) Handler() http.Handler {
	mux := http.NewServeMux()
	// The handlers check the role again for what they change.
	needs := func(r *http.Request) role.Role {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			return role.Viewer
		}
		return role.Operator
	}
	mux.Handle("/admin/v1/", a.guarded(a.Channels.handler(), httpapi.Bearer, needs))
	letters := a.guarded(a.letters(), httpapi.Bearer, needs)
	mux.Handle("/admin/v1/deadletters", letters)
	mux.Handle("/admin/v1/deadletters/", letters)
	mux.Handle("/codec/", a.codec())
	return mux
}

// codec answers the pages of the allowed origins, then checks the token: a question about CORS has none.
func (a API) codec() http.Handler {
	if a.Codec == nil {
		return httpapi.Serve(a.Log, func(http.ResponseWriter, *http.Request) error {
			return httpapi.Reject(http.StatusNotFound, "", "payloads are not encrypted: set --payload-keys")
		})
	}
	needs := func(*http.Request) role.Role { return role.Needs(schemas.AuditPayloadsDecrypt) }
	guarded := a.guarded(a.Codec.handler(a.Log), tokenOfBrowser, needs)
	return httpapi.Serve(a.Log, func(w http.ResponseWriter, r *http.Request) error {
		answered, err := a.Codec.allow(w, r)
		if !answered && err == nil {
			guarded.ServeHTTP(w, r)
		}
		return err
	})
}

// tokenOfBrowser returns the token of a request to the codec server: a bearer, or the password that a browser has kept. A
// browser sends the password with requests of every page, so that no request that changes something accepts it.
func tokenOfBrowser(r *http.Request) string {
	if _, password, ok := r.BasicAuth(); ok {
		return password
	}
	return httpapi.Bearer(r)
}

// guarded checks the token of a request, and that its operator's role is sufficient.
func (a API) guarded(next http.Handler, token func(*http.Request) string, needs func(*http.Request) role.Role) http.Handler {
	return httpapi.Serve(a.Log, func(w http.ResponseWriter, r *http.Request) error {
		operator, ok := a.Operators.Find(token(r))
		if !ok && r.URL.Path == codecPage { // a browser asks the person for the token
			return httpapi.Unauthorized().With("Www-Authenticate", `Basic realm="hookturn codec server", charset="UTF-8"`)
		}
		if !ok {
			return httpapi.Unauthorized()
		}
		if needed := needs(r); !operator.Role.Includes(needed) {
			return insufficient(operator, needed)
		}
		ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), operatorKey{}, operator), timeout)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
		return nil
	})
}

func insufficient(operator Operator, needed role.Role) error {
	return httpapi.Reject(http.StatusForbidden, "", "the role "+string(operator.Role)+" of "+operator.Name+
		" is not sufficient: the request needs the role "+string(needed))
}

type operatorKey struct{}

// operatorOf returns the operator of a request that was guarded.
func operatorOf(ctx context.Context) Operator {
	operator, _ := ctx.Value(operatorKey{}).(Operator)
	return operator
}
