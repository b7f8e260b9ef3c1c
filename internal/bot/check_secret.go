package bot

import (
	"crypto/sha256"
	"errors"
	"slices"

	"github.com/hookturn/hookturn/internal/header"
	"github.com/hookturn/hookturn/internal/secret"
	"github.com/hookturn/hookturn/schemas"
)

// rotationMax bounds how many values of one secret sign at a time.
const rotationMax = 8

// resolveSecrets reads every secret that the file defines, used or not.
func (c *checker) resolveSecrets() {
	for name, refs := range c.file.Secrets {
		if c.abandoned() {
			return
		}
		c.bot.secretRefs[name] = nil
		path := member("$.secrets", name)
		if !schemas.IsToken(name) {
			c.problem(path, "is not a name: want 1 to 64 of A-Z a-z 0-9 _ -")
		}
		if len(refs) > rotationMax {
			c.problem(path, "has %d values: at most %d can be valid at a time", len(refs), rotationMax)
			refs = refs[:rotationMax] // each use of the secret checks all values
		}
		if len(refs) == 0 {
			c.once(path, "is an empty list")
		}
		for i, ref := range refs {
			at := path
			if c.has(item(path, 0)) {
				at = item(path, i)
			}
			value, err := c.secret(ref)
			switch {
			case err != nil:
				c.once(at, "%s", err)
			case !c.options.WithoutSecrets:
				c.bot.secrets[name] = append(c.bot.secrets[name], value)
				c.bot.sums[name] = append(c.bot.sums[name], sha256.Sum256([]byte(value.Reveal())))
			}
		}
		if c.options.WithoutSecrets {
			c.bot.secrets[name] = nil
		}
	}
}

// secret reads one value, unless the options exclude secrets.
func (c *checker) secret(ref secret.Ref) (secret.Value, error) {
	if c.options.WithoutSecrets {
		return secret.Value{}, c.sources.Check(ref)
	}
	if path := c.sources.Path(ref); path != "" {
		c.watch = append(c.watch, path)
	}
	return c.sources.Resolve(ref)
}

func (c *checker) signature(path string, w *fileWebhook, defaults defaults) []string {
	c.secretName(path+".secret", w.Secret)
	if w.Signature == nil {
		switch {
		case !c.has(path + ".secret"):
			return nil
		case defaults.signature == nil:
			c.problem(path+".secret", "signs nothing: this dialect needs the key signature beside it")
		}
		c.standardSecrets(path+".secret", w.Secret, defaults.signature)
		return defaults.signature
	}
	if !c.has(path + ".secret") {
		c.problem(path+".signature", "needs the key secret beside it")
	}
	schemes := *w.Signature
	if len(schemes) == 0 {
		c.once(path+".signature", "is an empty list: leave secret and signature out to send none")
	}
	for i, scheme := range schemes {
		at := item(path+".signature", i)
		c.oneOf(at, scheme, SignatureHubSHA1, SignatureHubSHA256, SignatureStandard)
		if i < rotationMax && slices.Contains(schemes[:i], scheme) { // a longer list has unknown or repeated names before
			c.problem(at, "%s is named twice", quote(scheme))
		}
	}
	c.standardSecrets(path+".secret", w.Secret, schemes)
	return schemes
}

// standardSecrets checks the values of a secret that signs by Standard Webhooks.
func (c *checker) standardSecrets(path, name string, schemes []string) {
	if !slices.Contains(schemes, SignatureStandard) {
		return
	}
	for _, err := range c.checkValues(c.memo.keys, name, standardKey) {
		switch {
		case errors.Is(err, errNotWhsec):
			c.warn(path, "is not a whsec_ secret: libraries of Standard Webhooks do not take it (starter secret new prints one)")
		case err != nil:
			c.once(path, "cannot sign by the scheme standard: %s", err)
		}
	}
}

var errNotWhsec = errors.New("is not a whsec_ secret")

// standardKey returns why a value cannot sign by Standard Webhooks, or errNotWhsec when libraries would not take it.
func standardKey(value secret.Value) error {
	if _, err := value.StandardKey(); err != nil || value.IsWhsec() {
		return err
	}
	return errNotWhsec
}

// secretName checks the name of a secret that a key uses.
func (c *checker) secretName(path, name string) {
	if _, defined := c.file.Secrets[name]; !defined && c.has(path) && !c.has(member("$.secrets", name)) {
		// The text may be a secret itself, in the wrong place: the problem does not quote it.
		c.once(path, "names a secret that is not defined under $.secrets%s", c.hint(name, sortedKeys(c.file.Secrets)))
	}
}

func (c *checker) authorization(path string, a *fileAuthorization) string {
	if a == nil {
		return ""
	}
	if !c.has(path + ".secret") {
		c.problem(path+".secret", "is missing")
	}
	c.secretName(path+".secret", a.Secret)
	asHeader := func(value secret.Value) error { return header.CheckSecret(value.Reveal()) }
	for _, err := range c.checkValues(c.memo.headers, a.Secret, asHeader) {
		if err != nil {
			c.problem(path+".secret", "the value of this secret %s", err)
		}
	}
	return a.Secret
}

// rotation reads what a 401 means while the signing secret has several values.
func (c *checker) rotation(path string, w *fileWebhook, attempts int) string {
	if !c.has(path + ".rotation") {
		return ""
	}
	c.oneOf(path+".rotation", w.Rotation, RotationRetry)
	if !c.has(path + ".secret") {
		c.problem(path+".rotation", "needs the key secret beside it")
	}
	if attempts == 1 {
		c.problem(path+".rotation", "needs retry.max_attempts of 2 or more: each value is tried in an attempt of its own")
	}
	return w.Rotation
}
