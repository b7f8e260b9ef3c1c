package console

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/hookturn/hookturn/internal/adminapi"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/schemas"
)

// visitor is the operator whose request is served.
type visitor struct {
	adminapi.Operator

	session string // id
	CSRF    string // of the session
	from    netip.Addr
}

// actor returns the visitor for an audit event.
func (v *visitor) actor() schemas.AuditActor {
	from, _ := v.from.MarshalText() // "" of an unknown address; it never fails
	return schemas.AuditActor{Name: v.Name, Role: string(v.Role), Via: viaConsole, From: string(from)}
}

// viaConsole is the way in which an operator of the console acts.
const viaConsole = "console"

// handler serves a page to an operator. It writes the answer, or returns an error before it has written anything.
type handler func(w http.ResponseWriter, r *http.Request, v *visitor) error

// Handler returns the handler of all pages.
func (c *Console) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /style.css", c.open(c.style))
	mux.Handle("GET /login", c.open(c.loginPage))
	mux.Handle("POST /login", c.open(c.logIn))
	mux.Handle("POST /logout", c.guarded(c.logOut)) // without a slot: an operator can always end a session
	for pattern, serve := range map[string]handler{
		"GET /{$}":                    redirectTo("/conversations"),
		"GET /conversations":          c.conversations,
		"GET /conversation":           c.conversation,
		"GET /steps":                  c.steps,
		"GET /deadletters":            c.letters,
		"GET /deadletters/{sequence}": c.letter,
		"GET /endpoints":              c.endpoints,
		"GET /bots":                   c.bots,
		"GET /bot":                    c.bot,
		"GET /do/{action}":            c.confirm,
		"POST /do/{action}":           c.act,
		"/": func(http.ResponseWriter, *http.Request, *visitor) error {
			return httpapi.Reject(http.StatusNotFound, "", "no such page")
		},
	} {
		mux.Handle(pattern, c.guarded(c.bounded(serve)))
	}
	return mux
}

func redirectTo(path string) handler {
	return func(w http.ResponseWriter, r *http.Request, _ *visitor) error {
		http.Redirect(w, r, path, http.StatusSeeOther)
		return nil
	}
}

// open serves a page that needs no session. It is the only place that writes error pages. A request of another site that
// would change something is rejected, by what the browser reports of its origin.
func (c *Console) open(serve func(w http.ResponseWriter, r *http.Request) error) http.Handler {
	origins := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protect(w.Header())
		ctx, cancel := context.WithTimeout(r.Context(), workTimeout)
		defer cancel()
		r = r.WithContext(ctx)
		r.Body = http.MaxBytesReader(w, r.Body, bodyMax)
		var err error
		switch {
		case origins.Check(r) != nil:
			err = httpapi.Reject(http.StatusForbidden, "", "the form is not one of this console's pages")
		case r.ParseForm() != nil:
			err = httpapi.Reject(http.StatusBadRequest, "", "the query or the form cannot be read, or is larger than 16 KiB")
		default:
			err = serve(w, r)
		}
		if err != nil {
			c.fail(w, r, err)
		}
	})
}

// protect sets the headers of every answer: nothing is stored or shown in a frame, and a page loads its style sheet only.
func protect(h http.Header) {
	h.Set("Content-Security-Policy",
		"default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin") // with no-referrer, browsers send forms with the origin null
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// guarded serves a page to an operator who has logged in. A form must have the token of the session.
func (c *Console) guarded(serve handler) http.Handler {
	return c.open(func(w http.ResponseWriter, r *http.Request) error {
		v := c.visitor(r)
		if v == nil {
			http.Redirect(w, r, "/login", http.StatusSeeOther)
			return nil
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead &&
			subtle.ConstantTimeCompare([]byte(r.PostForm.Get("csrf")), []byte(v.CSRF)) != 1 {
			return httpapi.Reject(http.StatusForbidden, "", "the form is not one of this session: open the page again")
		}
		return serve(w, r, v)
	})
}

// bounded serves a page while fewer than requestsMax are made. A page that is written does not count: a client may read
// slowly.
func (c *Console) bounded(serve handler) handler {
	return func(w http.ResponseWriter, r *http.Request, v *visitor) error {
		select {
		case c.running <- struct{}{}:
		default:
			return httpapi.RejectFor(time.Second, "", "the console serves as many pages as it may: try again")
		}
		made := sync.OnceFunc(func() { <-c.running })
		defer made()
		return serve(&madePage{w, made}, r, v)
	}
}

// madePage is a response that calls a function before it is written.
type madePage struct {
	http.ResponseWriter

	made func()
}

// WriteHeader writes the header.
func (p *madePage) WriteHeader(status int) {
	p.made()
	p.ResponseWriter.WriteHeader(status)
}

// Write writes a part of the body.
func (p *madePage) Write(text []byte) (int, error) {
	p.made()
	return p.ResponseWriter.Write(text)
}

// Texts of errors.
const (
	noLetter = "no such dead letter: it was replayed, or has expired"
	noRight  = "the NATS user of the console does not have the right: --console-nats-context names its login, of the user " +
		"viewer or operator"
)

// visitor returns the operator of a request; nil without a session. The operator is the one of the token as the file of
// tokens is now: a session ends with its token.
func (c *Console) visitor(r *http.Request) *visitor {
	cookie, err := r.Cookie(cookieName(r))
	if err != nil {
		return nil
	}
	s := c.sessions.find(cookie.Value, time.Now())
	if s == nil {
		return nil
	}
	operator, ok := c.Operators.ByDigest(s.token)
	if !ok || operator.Name != s.name {
		c.sessions.end(cookie.Value)
		return nil
	}
	return &visitor{Operator: operator, session: cookie.Value, CSRF: s.csrf, from: httpapi.Peer(r, c.Proxies)}
}

// connected returns the connection to NATS.
func (c *Console) connected() (*connection, error) {
	n := c.nats.Load()
	if n == nil {
		return nil, httpapi.RejectFor(time.Second, fault.Internal, "the console is not connected to NATS: try again")
	}
	return n, nil
}

// fail writes an error page, and logs why a request failed.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, err error) {
	p, known := errors.AsType[*httpapi.Problem](err)
	switch {
	case known:
	case errors.Is(r.Context().Err(), context.Canceled): // the starter stops, or the client has disconnected
		p = httpapi.RejectFor(time.Second, "", "the page is not shown, the starter is stopping: try again")
	case errors.Is(err, bus.ErrNoDeadLetter):
		p = httpapi.Reject(http.StatusNotFound, "", noLetter)
	case natsclient.IsDenied(err):
		p = httpapi.Reject(http.StatusForbidden, "", noRight)
	default:
		p = httpapi.Failed(err, "the page is not shown")
	}
	if cause := errors.Unwrap(p); !known || cause != nil {
		if known {
			err = cause
		}
		c.Log.WarnContext(r.Context(), "serving a page of the console failed", "path", r.URL.Path, "error", err)
	}
	if p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "10")
	}
	if failed := c.render(w, p.Status, "error", nil, p.Title, p.Detail); failed != nil {
		http.Error(w, p.Detail, p.Status)
	}
}

// link returns a path with a query; pairs of a name and a value, those without a value are left out.
func link(path string, pairs ...string) string {
	query := url.Values{}
	for n := 0; n+1 < len(pairs); n += 2 {
		if pairs[n+1] != "" {
			query.Set(pairs[n], pairs[n+1])
		}
	}
	if len(query) == 0 {
		return path
	}
	return path + "?" + query.Encode()
}
