// Package token fetches bearer tokens by client credentials (RFC 6749, section 4.4) and keeps them until they end. What it
// promises: a hundred steps that need a token at the same moment fetch it once; no two tenants and no two bots share one; a
// rotated client secret is used for the next step; and no log line or error holds a token or a secret.
package token

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/secret"
)

// Grant is who asks whom for which token.
type Grant struct {
	Tenant, Bot string // whose token it is
	TokenURL    string
	ClientID    string
	Secret      secret.Value // the client's
	Scopes      []string
	Audience    string // sent as the parameter audience, which many servers want; "" = none
}

const (
	// early is how long before its end a token is no longer used: an attempt under way must not outlive it.
	early = 10 * time.Second
	// lifeDefault is how long a token is kept whose server does not say when it ends.
	lifeDefault = 5 * time.Minute
	// failureKept keeps a token endpoint that refuses from being asked by every step.
	failureKept = time.Second
	// entriesMax bounds the tokens that are kept.
	entriesMax = 1000
)

// Cache keeps tokens. It is safe for concurrent use.
type Cache struct {
	client *http.Client

	mu      sync.Mutex
	entries map[string]*entry
}

// entry is one grant's token. Its lock is held while the token is fetched, so that others wait for the same one.
type entry struct {
	mu     sync.Mutex
	token  string
	until  time.Time
	failed *fault.Fault
}

// New makes a cache that fetches through a guarded transport, see egress.Client.RoundTripper.
func New(transport http.RoundTripper) *Cache {
	return &Cache{
		client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		entries: map[string]*entry{},
	}
}

// Get gives a token that is good for ten seconds at least, fetching one when there is none.
func (c *Cache) Get(ctx context.Context, g Grant) (string, *fault.Fault) {
	e := c.entry(g.key())
	e.mu.Lock()
	defer e.mu.Unlock()
	if time.Now().Before(e.until) {
		return e.token, e.failed
	}
	token, err := c.fetch(ctx, g)
	if err != nil {
		e.failed = failure(g, err)
		e.token, e.until = "", time.Now().Add(failureKept)
		if errors.Is(err, context.Canceled) {
			e.until = time.Time{} // it says nothing about the server
		}
		return "", e.failed
	}
	e.token, e.failed = token.AccessToken, nil
	e.until = cmp.Or(token.Expiry, time.Now().Add(lifeDefault)).Add(-early)
	return e.token, nil
}

// Forget drops a token that the endpoint did not take, unless a newer one has replaced it.
func (c *Cache) Forget(g Grant, used string) {
	e := c.entry(g.key())
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.token == used {
		e.until = time.Time{}
	}
}

func (c *Cache) fetch(ctx context.Context, g Grant) (*oauth2.Token, error) {
	config := clientcredentials.Config{
		ClientID: g.ClientID, ClientSecret: g.Secret.Reveal(), TokenURL: g.TokenURL, Scopes: g.Scopes,
	}
	if g.Audience != "" {
		config.EndpointParams = url.Values{"audience": {g.Audience}}
	}
	token, err := config.Token(context.WithValue(ctx, oauth2.HTTPClient, c.client))
	if err == nil && !isHeaderText(token.AccessToken) {
		return nil, errToken
	}
	return token, err
}

// entry finds the place of a grant, making room by dropping tokens that have ended, or any when none has.
func (c *Cache) entry(key string) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries[key]; ok {
		return e
	}
	for known, e := range c.entries {
		if len(c.entries) < entriesMax {
			break
		}
		if e.mu.TryLock() { // one that is being fetched stays
			delete(c.entries, known)
			e.mu.Unlock()
		}
	}
	e := &entry{}
	c.entries[key] = e
	return e
}

// key is the same for the same grant; the secret is in it as a hash, so that a rotation makes another.
func (g Grant) key() string {
	parts := append([]string{g.Tenant, g.Bot, g.TokenURL, g.ClientID, g.Audience, g.Secret.Reveal()}, g.Scopes...)
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return string(sum[:])
}

var errToken = errors.New("the token cannot be a header's value")

// codes are the error codes of RFC 6749, section 5.2: the only part of an answer that is shown.
var codes = []string{
	"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
}

// failure names why there is no token.
func failure(g Grant, err error) *fault.Fault {
	host := "the token endpoint"
	if u, parseErr := url.Parse(g.TokenURL); parseErr == nil {
		host = "the token endpoint " + u.Host
	}
	if f, ok := errors.AsType[*fault.Fault](err); ok {
		told := fault.Wrap(f.Kind, err, "%s: %s", host, f.Message)
		told.Status = f.Status
		return told
	}
	answer, ok := errors.AsType[*oauth2.RetrieveError](err)
	switch {
	case !ok || answer.Response == nil || answer.Response.StatusCode/100 == 2 && answer.ErrorCode == "":
		return fault.New(fault.BadResponse, "%s did not answer with a token that can be used", host)
	case slices.Contains(codes, answer.ErrorCode):
		return fault.New(fault.Config, "%s refuses the client: %s: check oauth2 in the bot file", host, answer.ErrorCode)
	}
	status := answer.Response.StatusCode
	f := fault.New(fault.Status, "%s answered %d", host, status)
	if status/100 == 4 && !fault.RetryableStatus(status) {
		f = fault.New(fault.Config, "%s refuses the client with %d: check oauth2 in the bot file", host, status)
	}
	f.Status = 0 // the step's own endpoint was not asked
	if fault.RetryableStatus(status) {
		f.Kind = fault.Connect
		f.Message = fmt.Sprintf("%s answered %d: no token for now", host, status)
	}
	return f
}

// isHeaderText says whether a token can follow "Bearer ".
func isHeaderText(token string) bool {
	return token != "" && len(token) <= 8<<10 && !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
}
