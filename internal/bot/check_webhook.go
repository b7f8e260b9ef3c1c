package bot

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"strings"
	"time"
)

// params are configured params of the loyjoy dialect.
func (c *checker) params(path string, params map[string]anyJSON, dialect string) map[string]json.RawMessage {
	if !c.has(path) {
		return nil
	}
	c.belongs(path, "params", dialect)
	out := make(map[string]json.RawMessage, len(params))
	for name, value := range params {
		if name == "" {
			c.problem(member(path, name), "a param needs a name")
		}
		out[name] = json.RawMessage(value)
	}
	return out
}

// program checks a jq program of the plain dialect.
func (c *checker) program(path, key string, program *string, dialect string) string {
	path += "." + key
	if !c.has(path) || program == nil {
		return ""
	}
	if !c.belongs(path, key, dialect) {
		return ""
	}
	if strings.TrimSpace(*program) == "" {
		c.problem(path, "is empty")
		return ""
	}
	if c.abandoned() {
		return *program
	}
	if err := c.memo.programs.get(*program, func() error { return c.options.CheckProgram(*program) }); err != nil {
		c.problem(path, "%s", err)
	}
	return *program
}

// oauth2 checks where and how a bearer token is fetched.
func (c *checker) oauth2(path string, o *fileOAuth2) *OAuth2 {
	if o == nil {
		return nil
	}
	for key, value := range map[string]string{"token_url": o.TokenURL, "client_id": o.ClientID, "secret": o.Secret} {
		if !c.has(path + "." + key) {
			c.problem(path+"."+key, "is missing")
		} else if value == "" {
			c.once(path+"."+key, "is empty")
		}
	}
	c.secretName(path+".secret", o.Secret)
	if o.TokenURL != "" {
		c.absolute(path+".token_url", o.TokenURL)
	}
	return &OAuth2{
		TokenURL: o.TokenURL, ClientID: o.ClientID, ClientSecret: o.Secret, Scopes: o.Scopes, Audience: o.Audience,
	}
}

// absolute checks an absolute URL, also against the egress policy.
func (c *checker) absolute(path, text string) string {
	u, err := parseAbsolute(text, c.options.AllowPlainHTTP)
	if err != nil {
		c.problem(path, "%s", err)
		return ""
	}
	if err := c.options.CheckURL(u.String()); err != nil {
		c.problem(path, "%s", err)
	}
	return u.String()
}

// clientTLS checks that the secrets of a client certificate fit together. No error repeats what they hold.
func (c *checker) clientTLS(path string, t *fileTLS) *TLS {
	if t == nil {
		return nil
	}
	for key, name := range map[string]string{"certificate": t.Certificate, "key": t.Key, "ca": t.CA} {
		c.secretName(path+"."+key, name)
	}
	switch hasCertificate, hasKey := c.has(path+".certificate"), c.has(path+".key"); {
	case hasCertificate && !hasKey:
		c.problem(path+".certificate", "needs the key named key beside it")
	case hasKey && !hasCertificate:
		c.problem(path+".key", "needs the key named certificate beside it")
	}
	if !c.has(path+".certificate") && !c.has(path+".ca") {
		c.once(path, "names no secret: want certificate and key, ca, or all three")
	}
	certificate, key := c.secretText(t.Certificate), c.secretText(t.Key)
	if certificate != "" && key != "" {
		fits := func() bool { _, err := tls.X509KeyPair([]byte(certificate), []byte(key)); return err == nil }
		if !c.memo.pairs.get([2]string{t.Certificate, t.Key}, fits) {
			c.problem(path+".certificate", "certificate and key are not a pair of PEM texts that belong together")
		}
	}
	if ca := c.secretText(t.CA); ca != "" {
		holds := func() bool { return x509.NewCertPool().AppendCertsFromPEM([]byte(ca)) }
		if !c.memo.authorities.get(t.CA, holds) {
			c.problem(path+".ca", "the value of this secret holds no certificate in PEM")
		}
	}
	return &TLS{Certificate: t.Certificate, Key: t.Key, CA: t.CA}
}

// secretText is the newest value of a secret, "" when it is unknown.
func (c *checker) secretText(name string) string {
	if values := c.bot.secrets[name]; len(values) > 0 {
		return values[0].Reveal()
	}
	return ""
}

// Bounds of the limits that a bot file may set.
const (
	perSecondMin   = 0.01
	perSecondMax   = 10_000
	concurrencyMax = 1_000
	tripAfterMax   = 1_000
	openForMax     = retryWaitMax
	maxPauseMax    = Duration(time.Hour)
)

func (c *checker) limits(path string, l fileLimits) Limits {
	bounded := func(key string, value *int, most int) int {
		if value == nil {
			return 0
		}
		c.number(path+"."+key, float64(*value), 1, float64(most))
		return *value
	}
	limits := Limits{
		Burst:       bounded("burst", l.Burst, perSecondMax),
		Concurrency: bounded("concurrency", l.Concurrency, concurrencyMax),
		TripAfter:   bounded("trip_after", l.TripAfter, tripAfterMax),
	}
	if l.PerSecond != nil {
		limits.PerSecond = *l.PerSecond
		c.number(path+".per_second", limits.PerSecond, perSecondMin, perSecondMax)
	} else if l.Burst != nil {
		c.problem(path+".burst", "needs the key per_second beside it")
	}
	if l.OpenFor != nil {
		limits.OpenFor = *l.OpenFor
		c.within(path+".open_for", limits.OpenFor, second, openForMax)
	}
	if l.MaxPause != nil {
		limits.MaxPause = *l.MaxPause
		c.within(path+".max_pause", limits.MaxPause, second, maxPauseMax)
	}
	return limits
}
