// Package callback makes and opens the addresses at which an endpoint that answered 202 calls back. An address names one
// step of one event, ends with the step's deadline, and cannot be made by anybody who has not the key. That it works once is
// the workflow's promise, not the address's: the workflow knows whether it was called back.
package callback

import (
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

// tokenMax bounds what is looked at, in characters: an event's id is the only part that may be long.
const tokenMax = 4 << 10

// ErrUnknown says that a token was not made with this key; ErrExpired that the step's deadline is over.
var (
	ErrUnknown = errors.New("no such callback address")
	ErrExpired = errors.New("the step's deadline is over")
)

// Claim is what an address stands for.
type Claim struct {
	Workflow string // id of the workflow that runs the step
	Event    string // id of the event that asked for it
	Expires  time.Time
}

// Sealer makes tokens and opens them.
type Sealer struct {
	key     []byte
	purpose string
}

// NewKey makes a key.
func NewKey() ([]byte, error) {
	key := make([]byte, KeySize)
	_, err := rand.Read(key)
	return key, err
}

// NewSealer takes the key that all processes share.
func NewSealer(key []byte) (*Sealer, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("the key of callback addresses has %d bytes, not %d", len(key), KeySize)
	}
	return &Sealer{key: key, purpose: "callback 1"}, nil
}

// For gives a sealer whose tokens mean something else: neither opens those of the other.
func (s *Sealer) For(purpose string) *Sealer { return &Sealer{key: s.key, purpose: purpose} }

// Seal makes the token of a claim. The same claim gives the same token, so that every attempt of a step sends the same.
func (s *Sealer) Seal(c Claim) string {
	claim := strconv.FormatInt(c.Expires.Unix(), 10) + "\n" + c.Workflow + "\n" + c.Event
	return base64.RawURLEncoding.EncodeToString(append(s.mac(claim), claim...))
}

// Open gives the claim of a token, ErrUnknown or ErrExpired.
func (s *Sealer) Open(token string, now time.Time) (Claim, error) {
	if len(token) > tokenMax {
		return Claim{}, ErrUnknown
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < sha256.Size {
		return Claim{}, ErrUnknown
	}
	mac, claim := raw[:sha256.Size], string(raw[sha256.Size:])
	if !hmac.Equal(mac, s.mac(claim)) {
		return Claim{}, ErrUnknown
	}
	parts := strings.SplitN(claim, "\n", 3)
	expires, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil || len(parts) != 3 {
		return Claim{}, ErrUnknown
	}
	c := Claim{Workflow: parts[1], Event: parts[2], Expires: time.Unix(expires, 0)}
	if now.After(c.Expires) {
		return c, ErrExpired
	}
	return c, nil
}

func (s *Sealer) mac(claim string) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write([]byte("hookturn " + s.purpose + "\n"))
	h.Write([]byte(claim))
	return h.Sum(nil)
}

// Offers are the addresses below a gateway.
type Offers struct {
	Sealer  *Sealer
	Gateway string // where endpoints reach the gateway, as in https://hooks.example
}

// URL is the address at which the step of an event may be ended until a moment, to the second.
func (o Offers) URL(workflow, event string, until time.Time) string {
	return strings.TrimSuffix(o.Gateway, "/") + "/callbacks/" +
		o.Sealer.Seal(Claim{Workflow: workflow, Event: event, Expires: until})
}
