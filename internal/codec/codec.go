// Package codec encrypts every payload that goes to Temporal, and decrypts those that come from it. A payload is compressed,
// then encrypted with AES-256-GCM under a key that is derived for it alone. Payloads that were written without a codec are
// returned as they are, so that older histories replay.
//
// A payload names the key that encrypted it. The newest key encrypts; every key that is there decrypts. A payload whose key
// is missing is an error, never a changed payload.
package codec

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"

	"github.com/hookturn/hookturn/internal/fresh"
)

// Encoding is the "encoding" of an encrypted payload, and MetadataKeyID the entry with the id of its key. Both are the
// names that Temporal's own samples use.
const (
	Encoding      = "binary/encrypted"
	MetadataKeyID = "encryption-key-id"
)

// purpose separates the derived keys, and binds a payload to this format.
const purpose = "hookturn temporal payload v1"

const (
	saltSize  = 16 // of the key that is derived for one payload
	nonceSize = 12
	overhead  = saltSize + nonceSize
)

// Codec is a converter.PayloadCodec.
type Codec struct {
	keys *fresh.Value[keys]
	// Blocking makes a missing key a panic instead of an error. In a workflow the SDK then fails the task and repeats it,
	// until the key is there; an error would reach the workflow, which would answer the step with a failure.
	Blocking bool
}

var _ converter.PayloadCodec = (*Codec)(nil)

// New reads the keys of a directory. They are read again when the directory changes. The log, which may be nil, names a key
// that encrypts in the place of another.
func New(dir string, log *slog.Logger) (*Codec, error) {
	active := ""
	read, err := fresh.Read(log, func() (keys, error) { // one call at a time
		k, err := readKeys(dir)
		if err != nil {
			return k, err
		}
		if log != nil && active != "" && active != k.newest.id {
			log.Info("active payload key changed", "key", k.newest.id, "earlier", active)
		}
		active = k.newest.id
		return k, nil
	}, dir)
	if err != nil {
		return nil, err
	}
	return &Codec{keys: read}, nil
}

// Encode encrypts payloads with the newest key.
func (c *Codec) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	key := c.keys.Get().newest
	encoded := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		var err error
		if encoded[i], err = encrypt(key, p); err != nil {
			return payloads, fmt.Errorf("encrypt a payload: %w", err)
		}
	}
	return encoded, nil
}

// Decode decrypts payloads that Encode made, and returns others as they are.
func (c *Codec) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	decoded := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		if string(p.GetMetadata()[converter.MetadataEncoding]) != Encoding {
			decoded[i] = p
			continue
		}
		key, err := c.find(string(p.GetMetadata()[MetadataKeyID]))
		if err == nil {
			decoded[i], err = decrypt(key, p.GetData())
		}
		if err != nil && c.Blocking {
			panic(err)
		}
		if err != nil {
			return payloads, err
		}
	}
	return decoded, nil
}

// find returns a key. One that another process uses already may not have been read here yet.
func (c *Codec) find(id string) (key, error) {
	k, ok := c.keys.Get().byID[id]
	if !ok {
		k, ok = c.keys.Reread().byID[id]
	}
	if !ok {
		return key{}, fmt.Errorf("the directory of payload keys does not have the key %q, with which a payload is encrypted: "+
			"add its file again", id)
	}
	return k, nil
}

func encrypt(k key, p *commonpb.Payload) (*commonpb.Payload, error) {
	plain, err := proto.Marshal(p)
	if err != nil {
		return nil, err
	}
	data := make([]byte, overhead, overhead+len(plain)+64)
	_, _ = rand.Read(data) // documented never to fail
	aead, err := k.derive(data[:saltSize])
	if err != nil {
		return nil, err
	}
	return &commonpb.Payload{
		Metadata: map[string][]byte{converter.MetadataEncoding: []byte(Encoding), MetadataKeyID: []byte(k.id)},
		Data:     aead.Seal(data, data[saltSize:overhead], compress(plain), []byte(purpose)),
	}, nil
}

var errDamaged = errors.New("an encrypted payload is damaged, or its key file has other content than when it was encrypted")

func decrypt(k key, data []byte) (*commonpb.Payload, error) {
	if len(data) < overhead {
		return nil, errDamaged
	}
	aead, err := k.derive(data[:saltSize])
	if err != nil {
		return nil, err
	}
	packed, err := aead.Open(nil, data[saltSize:overhead], data[overhead:], []byte(purpose))
	if err != nil {
		return nil, errDamaged
	}
	plain, err := expand(packed)
	if err != nil {
		return nil, err
	}
	p := &commonpb.Payload{}
	if err := proto.Unmarshal(plain, p); err != nil {
		return nil, errDamaged
	}
	return p, nil
}

// derive returns the cipher of one payload. A key of its own for each payload keeps random nonces safe, however many
// payloads a key file encrypts: GCM alone allows 2^32.
func (k key) derive(salt []byte) (cipher.AEAD, error) {
	secret, err := hkdf.Key(sha256.New, k.secret[:], salt, purpose, keySize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
