package activities

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/oauth2"
	"github.com/hookturn/hookturn/internal/secret"
	"github.com/hookturn/hookturn/schemas"
)

// secretsOf finds the values of the secrets that a plan names, in the bot file of the plan's revision: histories hold names
// only.
type secretsOf struct {
	a       *Activities
	plan    bot.Plan
	refused int // how many attempts the endpoint answered 401
}

// signing returns the values that sign a request. The first one makes the signatures that are made with one value: it is the
// next value after each 401, when the bot file asks for it.
func (s secretsOf) signing() ([]secret.Value, *fault.Fault) {
	values, failed := s.values(s.plan.Webhook.Secret)
	if failed == nil && s.plan.Webhook.Rotation == bot.RotationRetry {
		first := s.refused % len(values)
		values = slices.Concat(values[first:], values[:first])
	}
	return values, failed
}

// canRotate reports whether the signing secret has a value that the endpoint did not answer with 401 yet.
func (s secretsOf) canRotate() bool {
	w := s.plan.Webhook
	if w.Rotation != bot.RotationRetry || w.Secret == "" {
		return false
	}
	values, failed := s.values(w.Secret)
	return failed == nil && s.refused < len(values)
}

// refusals counts the attempts that the endpoint answered 401.
func refusals(attempts []schemas.Attempt) int {
	n := 0
	for _, a := range attempts {
		if a.Status == http.StatusUnauthorized {
			n++
		}
	}
	return n
}

// values are all valid values of a secret, newest first.
func (s secretsOf) values(name string) ([]secret.Value, *fault.Fault) {
	values, err := s.a.Bots.Secrets(s.plan.BotID, s.plan.Revision, name)
	if err != nil {
		// The starter may have loaded a new bot file before this worker does: no request was made, and a later try may find it.
		f := fault.New(fault.Config, "%s", err)
		f.Passing = true
		return nil, f
	}
	return values, nil
}

// newest is the newest value of a secret; "" when the plan names none.
func (s secretsOf) newest(name string) (string, *fault.Fault) {
	if name == "" {
		return "", nil
	}
	values, failed := s.values(name)
	if failed != nil {
		return "", failed
	}
	return values[0].Reveal(), nil
}

// identity is the client certificate and the CA that the endpoint's connection needs; nil when the usual ones do.
func (s secretsOf) identity() (*egress.Identity, *fault.Fault) {
	t := s.plan.Webhook.TLS
	if t == nil {
		return nil, nil
	}
	var pem [3]string
	for i, name := range []string{t.Certificate, t.Key, t.CA} {
		var failed *fault.Fault
		if pem[i], failed = s.newest(name); failed != nil {
			return nil, failed
		}
	}
	identity, err := egress.NewIdentity(s.plan.Tenant, []byte(pem[0]), []byte(pem[1]), []byte(pem[2]))
	if err != nil {
		return nil, fault.Wrap(fault.Config, err, "the step's tls cannot be used: %v", err)
	}
	return identity, nil
}

// Tokens fetches bearer tokens for endpoints behind OAuth 2. *oauth2.Tokens is one.
type Tokens interface {
	Get(ctx context.Context, g oauth2.Grant) (string, *fault.Fault)
	Forget(g oauth2.Grant, used string)
}

// authorize adds the bearer token that the endpoint asks for.
func (c *call) authorize(ctx context.Context, s secretsOf, header http.Header) *fault.Fault {
	if c.in.Plan.Webhook.OAuth2 == nil {
		return nil
	}
	grant, failed := s.grant()
	if failed != nil {
		return failed
	}
	bearer, failed := c.Tokens.Get(ctx, grant)
	if failed != nil {
		return failed
	}
	header.Set("Authorization", "Bearer "+bearer)
	return nil
}

// forgetToken drops a token that the endpoint does not take; the next attempt fetches another.
func (c *call) forgetToken(sent http.Header) {
	if c.in.Plan.Webhook.OAuth2 == nil {
		return
	}
	if grant, failed := (secretsOf{a: c.Activities, plan: c.in.Plan}).grant(); failed == nil {
		c.Tokens.Forget(grant, strings.TrimPrefix(sent.Get("Authorization"), "Bearer "))
	}
}

func (s secretsOf) grant() (oauth2.Grant, *fault.Fault) {
	o := s.plan.Webhook.OAuth2
	values, failed := s.values(o.ClientSecret)
	if failed != nil {
		return oauth2.Grant{}, failed
	}
	return oauth2.Grant{
		BotID: s.plan.BotID, TokenURL: o.TokenURL, ClientID: o.ClientID, Secret: values[0],
		Scopes: o.Scopes, Audience: o.Audience,
	}, nil
}
