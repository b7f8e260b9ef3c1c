package signature

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hookturn/hookturn/internal/secret"
)

// Verify checks the headers of one scheme against the received body. A signature by any of the secrets is valid. The
// standard scheme rejects timestamps that differ from now by more than Tolerance. Verify returns nil or a wrapped
// error of this package.
//
// Signatures are compared in constant time, and every candidate is compared even after one has matched.
func Verify(h http.Header, scheme Scheme, secrets []secret.Value, now time.Time, body []byte) error {
	if err := checkSecrets(secrets); err != nil {
		return err
	}
	switch scheme {
	case HubSHA1:
		return verifyHub(h, HeaderHubSHA1, prefixSHA1, sha1.New, secrets, body)
	case HubSHA256:
		return verifyHub(h, HeaderHubSHA256, prefixSHA256, sha256.New, secrets, body)
	case Standard:
		return verifyStandard(h, secrets, now, body)
	}
	return fmt.Errorf("%w %q", ErrUnknownScheme, string(scheme))
}

func verifyHub(
	h http.Header, name, prefix string, sum func() hash.Hash, secrets []secret.Value, body []byte,
) error {
	value, err := single(h, name)
	if err != nil {
		return err
	}
	encoded, ok := strings.CutPrefix(value, prefix)
	if !ok {
		return fmt.Errorf("%w: %s must begin with %s", ErrMalformed, name, prefix)
	}
	sent, err := hex.DecodeString(encoded)
	if err != nil || len(sent) != sum().Size() {
		return fmt.Errorf("%w: %s must hold %d hex digits", ErrMalformed, name, 2*sum().Size())
	}
	matched := false
	for _, s := range secrets {
		matched = hmac.Equal(mac(sum, rawKey(s), body), sent) || matched
	}
	if !matched {
		return fmt.Errorf("%w: %s", ErrMismatch, name)
	}
	return nil
}

func verifyStandard(h http.Header, secrets []secret.Value, now time.Time, body []byte) error {
	id, err := single(h, HeaderID)
	if err != nil {
		return err
	}
	if !validID(id) {
		return fmt.Errorf("%w: %s: %w", ErrMalformed, HeaderID, ErrBadID)
	}
	stamp, err := single(h, HeaderTimestamp)
	if err != nil {
		return err
	}
	if err := checkStamp(stamp, now); err != nil {
		return err
	}
	signatures, err := single(h, HeaderStandard)
	if err != nil {
		return err
	}
	sent, err := parseStandard(signatures)
	if err != nil {
		return err
	}
	matched := false
	for _, s := range secrets {
		key, err := standardKey(s)
		if err != nil {
			return err
		}
		want := macStandard(key, id, stamp, body)
		for _, got := range sent {
			matched = hmac.Equal(want, got) || matched
		}
	}
	if !matched {
		return fmt.Errorf("%w: %s", ErrMismatch, HeaderStandard)
	}
	return nil
}

// checkStamp accepts the canonical decimal form only, because it is part of the signed bytes.
func checkStamp(stamp string, now time.Time) error {
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || strconv.FormatInt(seconds, 10) != stamp {
		return fmt.Errorf("%w: %s must be seconds since 1970", ErrMalformed, HeaderTimestamp)
	}
	switch at := time.Unix(seconds, 0); {
	case at.Before(now.Add(-Tolerance)):
		return fmt.Errorf("%w: more than %s behind this clock", ErrTooOld, Tolerance)
	case at.After(now.Add(Tolerance)):
		return fmt.Errorf("%w: more than %s ahead of this clock", ErrTooNew, Tolerance)
	}
	return nil
}

// parseStandard returns the v1 signatures of a header. It ignores other versions.
func parseStandard(header string) ([][]byte, error) {
	var sent [][]byte
	for field := range strings.FieldsSeq(header) {
		encoded, ok := strings.CutPrefix(field, prefixStandard)
		if !ok {
			continue
		}
		sum, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || len(sum) != sha256.Size {
			return nil, fmt.Errorf("%w: a v1 signature must be the base64 of %d bytes", ErrMalformed, sha256.Size)
		}
		sent = append(sent, sum)
	}
	if len(sent) == 0 {
		return nil, fmt.Errorf("%w: %s holds no v1 signature", ErrMalformed, HeaderStandard)
	}
	return sent, nil
}

// single rejects a repeated header, because components may differ in which value they read.
func single(h http.Header, name string) (string, error) {
	switch values := h.Values(name); len(values) {
	case 0:
		return "", fmt.Errorf("%w: %s", ErrMissing, name)
	case 1:
		return values[0], nil
	}
	return "", fmt.Errorf("%w: %s came more than once", ErrMalformed, name)
}
