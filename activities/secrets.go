package activities

import (
	"context"
	"net/http"
	"strings"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/oauth2"
	"github.com/hookturn/hookturn/internal/secret"
)

// secretsOf finds the values of the secrets that a plan names, in the bot file of the plan's revision: histories hold names
// only.
type secretsOf struct {
	a    *Activities
	plan bot.Plan
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
	identity, err := egress.NewIdentity([]byte(pem[0]), []byte(pem[1]), []byte(pem[2]))
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
