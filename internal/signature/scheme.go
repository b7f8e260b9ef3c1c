// Package signature signs webhook requests and verifies their signatures.
//
// There are three schemes. Parse returns an error for any other name, so that a bot file with an unknown scheme does not
// load.
//
//   - hub-sha1 is Haptik's and old GitHub's: "X-Hub-Signature: sha1=<hex HMAC-SHA1 of the body>".
//   - hub-sha256 is GitHub's: "X-Hub-Signature-256: sha256=<hex HMAC-SHA256 of the body>".
//   - standard is Standard Webhooks v1: webhook-id, webhook-timestamp and webhook-signature, the last one
//     "v1,<base64 HMAC-SHA256 of id.timestamp.body>".
//
// Rotation: secrets are listed newest first. A standard header contains one signature for each secret, so that receivers can
// change to the new secret at any time. The hub headers contain one signature, by the newest secret. Verify accepts a
// signature by any of the secrets.
//
// The key is the secret's text as UTF-8 bytes; only the standard scheme reads a secret of the form "whsec_<base64>" as the
// bytes it encodes. Errors never contain a secret, a signature or a body.
package signature

import (
	"errors"
	"fmt"
	"time"
)

// Scheme is a signature scheme.
type Scheme string

// The schemes, by their names in bot files.
const (
	HubSHA1   Scheme = "hub-sha1"
	HubSHA256 Scheme = "hub-sha256"
	Standard  Scheme = "standard"
)

// The headers of the schemes, in canonical form.
const (
	HeaderHubSHA1   = "X-Hub-Signature"
	HeaderHubSHA256 = "X-Hub-Signature-256"
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderStandard  = "Webhook-Signature"
)

// Tolerance is the maximum difference between the timestamp of a standard signature and the verifier's clock, in the past
// and in the future.
const Tolerance = 5 * time.Minute

var (
	// ErrUnknownScheme reports that a name is not a scheme.
	ErrUnknownScheme = errors.New("unknown signature scheme")
	// ErrNoSecret reports that the secret to sign or verify with is missing or empty.
	ErrNoSecret = errors.New("no signing secret")
	// ErrBadSecret reports that a secret begins with whsec_ and does not continue with standard base64.
	ErrBadSecret = errors.New("a whsec_ secret must continue with standard base64")
	// ErrBadID reports that a message id is empty, or contains a dot or a character that is not visible ASCII. Dots separate
	// the signed parts: with a dot in the id, one signature could be valid for two messages.
	ErrBadID = errors.New("message id must be visible ASCII without a dot")
	// ErrMissing reports that a header of the scheme is missing.
	ErrMissing = errors.New("signature header missing")
	// ErrMalformed reports that a header of the scheme is not valid.
	ErrMalformed = errors.New("signature header malformed")
	// ErrMismatch reports that the signature does not match any secret: the secret is wrong, or the body was changed.
	ErrMismatch = errors.New("signature does not match")
	// ErrTooOld reports that the timestamp is more than Tolerance in the past: a replay, or a slow clock at the sender.
	ErrTooOld = errors.New("signature timestamp too old")
	// ErrTooNew reports that the timestamp is more than Tolerance in the future: a fast clock at the sender.
	ErrTooNew = errors.New("signature timestamp too new")
)

// Schemes returns every scheme, for schemas and documentation.
func Schemes() []Scheme { return []Scheme{HubSHA1, HubSHA256, Standard} }

// Parse returns the scheme with a name.
func Parse(name string) (Scheme, error) {
	for _, s := range Schemes() {
		if string(s) == name {
			return s, nil
		}
	}
	return "", fmt.Errorf("%w %q: use hub-sha1, hub-sha256 or standard", ErrUnknownScheme, name)
}
