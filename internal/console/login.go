package console

import (
	"net/http"
	"time"

	"github.com/hookturn/hookturn/internal/httpapi"
)

// The names of the cookie. A browser accepts one that begins with __Host- over TLS only, and from no other host.
const (
	cookiePlain  = "hookturn-console"
	cookieSecure = "__Host-hookturn-console"
)

// secure reports whether the browser uses TLS, here or at a proxy. A client that lies about it harms itself only.
func secure(r *http.Request) bool {
	return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
}

func cookieName(r *http.Request) string {
	if secure(r) {
		return cookieSecure
	}
	return cookiePlain
}

func cookieOf(r *http.Request, id string, lasts time.Duration) *http.Cookie {
	c := &http.Cookie{ //nolint:gosec // Secure where the browser uses TLS: without, it would not send the cookie
		Name: cookieName(r), Value: id, Path: "/", HttpOnly: true, Secure: secure(r), SameSite: http.SameSiteStrictMode,
		MaxAge: int(lasts / time.Second),
	}
	if lasts == 0 {
		c.MaxAge = -1
	}
	return c
}

func (c *Console) loginPage(w http.ResponseWriter, _ *http.Request) error {
	return c.render(w, http.StatusOK, "login", nil, "Log in", "")
}

// logIn begins a session of the operator whose token the form has.
func (c *Console) logIn(w http.ResponseWriter, r *http.Request) error {
	now, from := time.Now(), httpapi.Peer(r, c.Proxies)
	if c.failures.blocked(from, now) {
		return c.render(w, http.StatusTooManyRequests, "login", nil, "Log in",
			"Too many logins from this address have failed. Try again in ten minutes.")
	}
	token := r.PostForm.Get("token")
	operator, ok := c.Operators.Find(token)
	if !ok {
		c.failures.add(from, now)
		c.Log.WarnContext(r.Context(), "login to the console failed", "remote_addr", from)
		return c.render(w, http.StatusUnauthorized, "login", nil, "Log in", "The token is not valid.")
	}
	if old, err := r.Cookie(cookieName(r)); err == nil {
		c.sessions.end(old.Value)
	}
	id := c.sessions.begin(httpapi.DigestOf(token), operator.Name, now)
	http.SetCookie(w, cookieOf(r, id, sessionTime))
	c.Log.InfoContext(r.Context(), "operator logged in to the console", "operator", operator.Name,
		"role", operator.Role, "remote_addr", from)
	http.Redirect(w, r, "/conversations", http.StatusSeeOther)
	return nil
}

func (c *Console) logOut(w http.ResponseWriter, r *http.Request, v *visitor) error {
	c.sessions.end(v.session)
	http.SetCookie(w, cookieOf(r, "", 0))
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}
