// Package oauth2 fetches bearer tokens by client credentials (RFC 6749, section 4.4) and keeps them until they expire. A
// hundred steps that need a token at the same time cause one fetch; no two tenants and no two bots share a token; a rotated
// client secret is used for the next step; no log line or error holds a token or a secret.
package oauth2

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/sync/singleflight"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/secret"
	"github.com/hookturn/hookturn/internal/tenantcache"
	"github.com/hookturn/hookturn/schemas"
)

// Grant identifies a token: the bot, the token endpoint, the client and the scopes.
type Grant struct {
	schemas.BotID // the owner of the token

	TokenURL string
	ClientID string
	Secret   secret.Value // the client's
	Scopes   []string
	Audience string // sent as the parameter audience, which many servers require; "" = none
}

const (
	// early is the time before the expiry of a token in which it is not used, so that it does not expire during an attempt.
	early = 10 * time.Second
	// lifeDefault is how long a token without an expiry is kept.
	lifeDefault = 5 * time.Minute
	// failureKept is how long a failed fetch is returned to other steps without another request.
	failureKept = time.Second
	// fetchTimeout bounds one fetch. A fetch continues when the step that started it has ended: other steps wait for it.
	fetchTimeout = 10 * time.Second
	// entriesMax bounds the tokens that are kept, of all tenants together.
	entriesMax = 1000
)

// Tokens fetches and keeps tokens. It is safe for concurrent use.
type Tokens struct {
	client  *http.Client
	fetches singleflight.Group

	entries *tenantcache.Cache[string, entry]
	styles  *tenantcache.Cache[string, oauth2.AuthStyle] // by client: how the client's secret must be sent
}

// entry is the latest result of a fetch for one grant.
type entry struct {
	token  string
	until  time.Time
	failed *fault.Fault
}

// New returns a new Tokens that fetches through a guarded transport, see egress.Client.RoundTripper.
func New(transport http.RoundTripper) *Tokens {
	return &Tokens{
		client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		entries: tenantcache.New[string, entry](entriesMax), styles: tenantcache.New[string, oauth2.AuthStyle](entriesMax),
	}
}

// Get returns a token that is valid for ten more seconds at least, fetching one when there is none. It waits no longer than
// ctx: the fault then names the token endpoint.
func (t *Tokens) Get(ctx context.Context, g Grant) (string, *fault.Fault) {
	key := g.key()
	if e, ok := t.kept(g); ok {
		return e.token, e.failed
	}
	fetched := t.fetches.DoChan(key, func() (any, error) {
		if e, ok := t.kept(g); ok { // another fetch has just ended
			return e, nil
		}
		fetching, stop := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
		defer stop()
		e := t.fetch(fetching, g)
		t.entries.Put(g.Tenant, key, e)
		return e, nil
	})
	select {
	case r := <-fetched:
		e, _ := r.Val.(entry)
		return e.token, e.failed
	case <-ctx.Done():
		return "", fault.Wrap(fault.Timeout, context.Cause(ctx), "%s did not answer before the step's deadline", g.host())
	}
}

// Forget drops a token that the endpoint rejected, unless a newer one has replaced it.
func (t *Tokens) Forget(g Grant, used string) {
	if e, ok := t.entries.Get(g.Tenant, g.key()); ok && e.token == used {
		t.entries.Remove(g.Tenant, g.key())
	}
}

func (t *Tokens) kept(g Grant) (entry, bool) {
	e, ok := t.entries.Get(g.Tenant, g.key())
	return e, ok && time.Now().Before(e.until)
}

func (t *Tokens) fetch(ctx context.Context, g Grant) entry {
	token, err := t.request(ctx, g)
	if err == nil && !isHeaderText(token.AccessToken) {
		err = errToken
	}
	if err != nil {
		return entry{failed: failure(g, err), until: time.Now().Add(failureKept)}
	}
	return entry{token: token.AccessToken, until: cmp.Or(token.Expiry, time.Now().Add(lifeDefault)).Add(-early)}
}

// request requests a token. The first request of a client tries the Authorization header, which every server must support
// (RFC 6749), then parameters. Later requests use the style that succeeded.
func (t *Tokens) request(ctx context.Context, g Grant) (*oauth2.Token, error) {
	ctx = context.WithValue(ctx, oauth2.HTTPClient, t.client)
	style, known := t.style(g)
	token, err := g.config(style).Token(ctx)
	if rejection := (*oauth2.RetrieveError)(nil); errors.As(err, &rejection) && isStyleRejected(rejection) {
		if known {
			t.learn(g, oauth2.AuthStyleAutoDetect) // the next fetch tries both again
			return nil, err
		}
		style = oauth2.AuthStyleInParams
		if second, failed := g.config(style).Token(ctx); failed == nil {
			token, err = second, nil
		}
	}
	if err == nil {
		t.learn(g, style)
	}
	return token, err
}

func (t *Tokens) style(g Grant) (style oauth2.AuthStyle, known bool) {
	if style, known = t.styles.Get(g.Tenant, g.client()); known {
		return style, true
	}
	return oauth2.AuthStyleInHeader, false
}

// learn remembers a style; AuthStyleAutoDetect forgets it.
func (t *Tokens) learn(g Grant, style oauth2.AuthStyle) {
	if style == oauth2.AuthStyleAutoDetect {
		t.styles.Remove(g.Tenant, g.client())
		return
	}
	t.styles.Put(g.Tenant, g.client(), style)
}

// isStyleRejected reports whether a token endpoint may have rejected the way in which the client authenticated.
func isStyleRejected(e *oauth2.RetrieveError) bool {
	if e.Response == nil {
		return false
	}
	switch e.Response.StatusCode {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		return true
	}
	return false
}

func (g Grant) config(style oauth2.AuthStyle) *clientcredentials.Config {
	config := &clientcredentials.Config{
		ClientID: g.ClientID, ClientSecret: g.Secret.Reveal(), TokenURL: g.TokenURL, Scopes: g.Scopes, AuthStyle: style,
	}
	if g.Audience != "" {
		config.EndpointParams = url.Values{"audience": {g.Audience}}
	}
	return config
}

// key returns the cache key of a grant. It includes the secret, hashed, so that a rotated secret has another key.
func (g Grant) key() string {
	return hash(append([]string{g.Tenant, g.Bot, g.TokenURL, g.ClientID, g.Audience, g.Secret.Reveal()}, g.Scopes...)...)
}

// client returns the key of a client at a token endpoint, without its secret.
func (g Grant) client() string { return hash(g.Tenant, g.Bot, g.TokenURL, g.ClientID) }

func hash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return string(sum[:])
}

// host returns the name of the token endpoint for messages, without its path and query.
func (g Grant) host() string {
	if u, err := url.Parse(g.TokenURL); err == nil {
		return "the token endpoint " + u.Host
	}
	return "the token endpoint"
}

// isHeaderText reports whether a token can follow "Bearer ".
func isHeaderText(token string) bool {
	return token != "" && len(token) <= 8<<10 && !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
}
