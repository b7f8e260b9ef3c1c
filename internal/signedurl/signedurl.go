// Package signedurl creates and verifies the tokens in URLs of callbacks and files. A token is encrypted and authenticated:
// its content is not readable, it cannot be created without the key, and it expires. The workflow, not the token, ensures
// that a callback is accepted only once.
package signedurl

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// KeySize is the length of a key, in bytes.
const KeySize = 32

// tokenMax is the longest token that is verified, in characters. Only the event's id in it can be long.
const tokenMax = 4 << 10

// ErrUnknown means that the token was not created with this key for this purpose; ErrExpired, that it has expired.
var (
	ErrUnknown = errors.New("unknown or invalid token")
	ErrExpired = errors.New("the token has expired")
)

// Payload is the content of a token.
type Payload struct {
	Owner   string // owner of the item: the id of a workflow, or tenant and bot; without line breaks
	Item    string // the id of an event or a file
	Expires time.Time
}

// Signer creates and verifies tokens.
type Signer struct {
	cipher   cipher.AEAD
	nonceKey []byte
	purpose  []byte
}

// NewKey returns a new key.
func NewKey() ([]byte, error) {
	key := make([]byte, KeySize)
	_, err := rand.Read(key)
	return key, err
}

// NewSigner returns a new signer for one purpose. It rejects tokens for another purpose with the same key.
func NewSigner(key []byte, purpose string) (*Signer, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("the key of %s has %d bytes, expected %d", purpose, len(key), KeySize)
	}
	encryption, err := hkdf.Key(sha256.New, key, nil, "hookturn address "+purpose+" encryption", KeySize)
	if err != nil {
		return nil, err
	}
	nonces, err := hkdf.Key(sha256.New, key, nil, "hookturn address "+purpose+" nonce", KeySize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(encryption)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	return &Signer{cipher: aead, nonceKey: nonces, purpose: []byte(purpose)}, err
}

// Sign returns the token of a payload. The same payload has the same token, so that every attempt of a step sends the same
// address: the nonce is a keyed hash of the payload.
func (s *Signer) Sign(p Payload) string {
	text := []byte(strconv.FormatInt(p.Expires.Unix(), 10) + "\n" + p.Owner + "\n" + p.Item)
	hash := hmac.New(sha256.New, s.nonceKey)
	hash.Write(text)
	nonce := hash.Sum(nil)[:s.cipher.NonceSize()]
	return base64.RawURLEncoding.EncodeToString(s.cipher.Seal(nonce, nonce, text, s.purpose))
}

// Verify returns the payload of a token, ErrUnknown or ErrExpired.
func (s *Signer) Verify(token string, now time.Time) (Payload, error) {
	if len(token) > tokenMax {
		return Payload{}, ErrUnknown
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < s.cipher.NonceSize() {
		return Payload{}, ErrUnknown
	}
	text, err := s.cipher.Open(nil, raw[:s.cipher.NonceSize()], raw[s.cipher.NonceSize():], s.purpose)
	if err != nil {
		return Payload{}, ErrUnknown
	}
	parts := strings.SplitN(string(text), "\n", 3)
	expires, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil || len(parts) != 3 {
		return Payload{}, ErrUnknown
	}
	p := Payload{Owner: parts[1], Item: parts[2], Expires: time.Unix(expires, 0)}
	if now.After(p.Expires) {
		return p, ErrExpired
	}
	return p, nil
}

// Callbacks creates the URLs at which endpoints end steps.
type Callbacks struct {
	Signer  *Signer
	Gateway string // base URL of the gateway for endpoints, such as https://hooks.example
}

// URL returns the callback URL for the step of an event. It expires at the given time, to the second.
func (c Callbacks) URL(workflow, event string, until time.Time) string {
	return strings.TrimSuffix(c.Gateway, "/") + "/callbacks/" +
		c.Signer.Sign(Payload{Owner: workflow, Item: event, Expires: until})
}
