// Package signature makes and checks the headers that prove who sent a webhook body.
//
// Three schemes exist, and the set is closed: a name that Parse does not know is an error when the bot file is loaded,
// never a silent fall-back to another scheme.
//
//   - hub-sha1 is Haptik's and old GitHub's: "X-Hub-Signature: sha1=<hex HMAC-SHA1 of the body>".
//   - hub-sha256 is GitHub's: "X-Hub-Signature-256: sha256=<hex HMAC-SHA256 of the body>".
//   - standard is Standard Webhooks v1: webhook-id, webhook-timestamp and webhook-signature, the last one
//     "v1,<base64 HMAC-SHA256 of id.timestamp.body>".
//
// Rotation: secrets are listed newest first. A standard header carries one signature a secret, so receivers may change over
// whenever they like. The hub headers have room for one signature, and the newest secret makes it. Verify takes a body that
// any of the secrets signed, by every scheme.
//
// The key is the secret's text as UTF-8 bytes; only the standard scheme reads a secret of the form "whsec_<base64>" as the
// bytes it encodes. Errors never hold a secret, a signature or a body.
package signature

import (
	"errors"
	"fmt"
	"time"
)

// Scheme is one way to sign.
type Scheme string

// The schemes, by the names that bot files use.
const (
	HubSHA1   Scheme = "hub-sha1"
	HubSHA256 Scheme = "hub-sha256"
	Standard  Scheme = "standard"
)

// The headers that the schemes write, in canonical form.
const (
	HeaderHubSHA1   = "X-Hub-Signature"
	HeaderHubSHA256 = "X-Hub-Signature-256"
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderStandard  = "Webhook-Signature"
)

// Tolerance is how far the timestamp of a standard signature may be from the verifier's clock, into the past and into the
// future alike.
const Tolerance = 5 * time.Minute

var (
	// ErrUnknownScheme says that a name is none of the schemes.
	ErrUnknownScheme = errors.New("unknown signature scheme")
	// ErrNoSecret says that there is no secret, or an empty one, to sign or verify with.
	ErrNoSecret = errors.New("no signing secret")
	// ErrBadSecret says that a secret begins with whsec_ but goes on with something other than standard base64.
	ErrBadSecret = errors.New("a whsec_ secret must go on with standard base64")
	// ErrBadID says that a message id is empty, or holds a dot or anything but visible ASCII. The dot separates the parts
	// of what is signed: an id with dots would let one signature stand for two messages.
	ErrBadID = errors.New("message id must be visible ASCII without a dot")
	// ErrMissing says that a header the scheme needs is absent.
	ErrMissing = errors.New("signature header missing")
	// ErrMalformed says that a header of the scheme is there but cannot be read.
	ErrMalformed = errors.New("signature header malformed")
	// ErrMismatch says that no secret makes the signature that was sent: a wrong secret, or a changed body.
	ErrMismatch = errors.New("signature does not match")
	// ErrTooOld says that the timestamp is more than Tolerance in the past: a replay, or a slow clock at the sender.
	ErrTooOld = errors.New("signature timestamp too old")
	// ErrTooNew says that the timestamp is more than Tolerance in the future: a fast clock at the sender.
	ErrTooNew = errors.New("signature timestamp too new")
)

// Schemes lists every scheme, for schemas and documentation.
func Schemes() []Scheme { return []Scheme{HubSHA1, HubSHA256, Standard} }

// Parse reads a scheme's name as bot files spell it.
func Parse(name string) (Scheme, error) {
	for _, s := range Schemes() {
		if string(s) == name {
			return s, nil
		}
	}
	return "", fmt.Errorf("%w %q: use hub-sha1, hub-sha256 or standard", ErrUnknownScheme, name)
}
