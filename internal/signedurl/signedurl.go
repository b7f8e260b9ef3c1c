// Package signedurl makes and verifies the tokens of addresses that stand for something: where an endpoint ends a step
// later, where a file can be read. A token is encrypted and authenticated: it shows its reader nothing, it cannot be made
// without the key, and it ends at a moment. That a callback works once is the workflow's promise, not the token's.
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

// tokenMax bounds the tokens that are looked at, in characters: an event's id is the only part that may be long.
const tokenMax = 4 << 10

// ErrUnknown means that a token was not made with this key for this purpose; ErrExpired that its time is over.
var (
	ErrUnknown = errors.New("no such address")
	ErrExpired = errors.New("the address has expired")
)

// Payload is what an address stands for.
type Payload struct {
	Owner   string // what the item belongs to: the id of a workflow, or tenant and bot; without line ends
	Item    string // the id of an event or a file
	Expires time.Time
}

// Signer makes tokens and verifies them.
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

// NewSigner returns a signer for one purpose. A signer with the same key and another purpose knows none of its tokens.
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

// Callbacks are the addresses below a gateway at which steps are ended.
type Callbacks struct {
	Signer  *Signer
	Gateway string // where endpoints reach the gateway, as in https://hooks.example
}

// URL returns the address at which the step of an event may be ended until a moment, to the second.
func (c Callbacks) URL(workflow, event string, until time.Time) string {
	return strings.TrimSuffix(c.Gateway, "/") + "/callbacks/" +
		c.Signer.Sign(Payload{Owner: workflow, Item: event, Expires: until})
}
