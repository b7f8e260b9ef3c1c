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
	"sync/atomic"
	"time"
)

// KeySize is the length of a key, in bytes.
const KeySize = 32

// A token begins with its nonce and ends with its tag, as GCM has them.
const (
	nonceSize = 12
	tagSize   = 16
)

// tokenMax is the longest token that is verified, in characters. Only the event's id in it can be long.
const tokenMax = 4 << 10

// ClockMargin is how far the clocks of two processes, or of a process and the Temporal server, may differ: keys are stored
// for this long after the last token of theirs has expired.
const ClockMargin = time.Hour

// ErrUnknown means that the token was not created with one of these keys for this purpose; ErrUnsettled, that it was not,
// but that other processes may have more keys; ErrExpired, that it has expired.
var (
	ErrUnknown   = errors.New("unknown or invalid token")
	ErrUnsettled = errors.New("unknown token while the keys of tokens change")
	ErrExpired   = errors.New("the token has expired")
)

// Payload is the content of a token.
type Payload struct {
	Owner   string // owner of the item: the id of a workflow, or tenant and bot; without line breaks
	Item    string // the id of an event or a file
	Expires time.Time
}

// Signer creates and verifies tokens. It signs with one key and verifies with several, because a key can be replaced while
// tokens are in use. Its methods may be called at the same time, OnUnknown excepted.
type Signer struct {
	purpose string
	keys    atomic.Pointer[[]derived]
	unknown func() (settled bool)
}

// derived is what a key is used for.
type derived struct {
	cipher   cipher.AEAD
	nonceKey []byte
}

// NewKey returns a new key.
func NewKey() ([]byte, error) {
	key := make([]byte, KeySize)
	_, err := rand.Read(key)
	return key, err
}

// New returns a new signer for one purpose, without a key. It rejects tokens for another purpose with the same key.
func New(purpose string) *Signer { return &Signer{purpose: purpose} }

// NewSigner returns a new signer for one purpose with one key.
func NewSigner(key []byte, purpose string) (*Signer, error) {
	s := New(purpose)
	return s, s.Use([][]byte{key})
}

// Use replaces the keys: the first one signs, all of them verify. After an error the keys are what they were.
func (s *Signer) Use(keys [][]byte) error {
	all := make([]derived, 0, len(keys))
	for _, key := range keys {
		one, err := derive(key, s.purpose)
		if err != nil {
			return err
		}
		all = append(all, one)
	}
	s.keys.Store(&all)
	return nil
}

// OnUnknown sets what Verify calls for a token that no key opens, before it tries once more, and Ready without a key. It may
// call Use, and reports whether other processes have no more keys. It is set before the first call of either.
func (s *Signer) OnUnknown(unknown func() (settled bool)) { s.unknown = unknown }

func derive(key []byte, purpose string) (derived, error) {
	if len(key) != KeySize {
		return derived{}, fmt.Errorf("the key of %s has %d bytes, expected %d", purpose, len(key), KeySize)
	}
	encryption, err := hkdf.Key(sha256.New, key, nil, "hookturn address "+purpose+" encryption", KeySize)
	if err != nil {
		return derived{}, err
	}
	nonces, err := hkdf.Key(sha256.New, key, nil, "hookturn address "+purpose+" nonce", KeySize)
	if err != nil {
		return derived{}, err
	}
	block, err := aes.NewCipher(encryption)
	if err != nil {
		return derived{}, err
	}
	aead, err := cipher.NewGCM(block)
	return derived{aead, nonces}, err
}

// all returns the keys.
func (s *Signer) all() []derived {
	if keys := s.keys.Load(); keys != nil {
		return *keys
	}
	return nil
}

// Ready reports whether there is a key that signs. Without one it looks for a stored one first.
func (s *Signer) Ready() bool {
	if len(s.all()) == 0 && s.unknown != nil {
		s.unknown()
	}
	return len(s.all()) > 0
}

// Sign returns the token of a payload, "" while there is no key. The same payload has the same token until the key is
// replaced, so that every attempt of a step sends the same address: the nonce is a keyed hash of the payload.
func (s *Signer) Sign(p Payload) string {
	keys := s.all()
	if len(keys) == 0 {
		return ""
	}
	text := []byte(strconv.FormatInt(p.Expires.Unix(), 10) + "\n" + p.Owner + "\n" + p.Item)
	hash := hmac.New(sha256.New, keys[0].nonceKey)
	hash.Write(text)
	nonce := hash.Sum(nil)[:nonceSize]
	return base64.RawURLEncoding.EncodeToString(keys[0].cipher.Seal(nonce, nonce, text, []byte(s.purpose)))
}

// Verify returns the payload of a token, ErrUnknown, ErrUnsettled or ErrExpired. With ErrExpired it returns the payload as
// well: the clock that set Expires can be behind the one that now comes from, and what the token is for may decide instead.
func (s *Signer) Verify(token string, now time.Time) (Payload, error) {
	if len(token) > tokenMax {
		return Payload{}, ErrUnknown
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) <= nonceSize+tagSize {
		return Payload{}, ErrUnknown
	}
	text, opened := s.open(raw)
	if !opened && s.unknown != nil {
		settled := s.unknown()
		if text, opened = s.open(raw); !opened && !settled {
			return Payload{}, ErrUnsettled
		}
	}
	if !opened {
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

// open returns the text of a token, and whether one of the keys opens it.
func (s *Signer) open(raw []byte) (text []byte, opened bool) {
	for _, key := range s.all() {
		if text, err := key.cipher.Open(nil, raw[:nonceSize], raw[nonceSize:], []byte(s.purpose)); err == nil {
			return text, true
		}
	}
	return nil, false
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
