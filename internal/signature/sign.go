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

const (
	prefixSHA1     = "sha1="
	prefixSHA256   = "sha256="
	prefixStandard = "v1,"
)

// Sign adds the headers of every scheme to h. The secrets are listed newest first; body must be exactly the bytes of the
// request. Only the standard scheme uses the id and the time. On an error, h is unchanged.
func Sign(h http.Header, schemes []Scheme, secrets []secret.Value, id string, at time.Time, body []byte) error {
	if len(schemes) == 0 {
		return nil
	}
	if err := checkSecrets(secrets); err != nil {
		return err
	}
	made := make(map[string]string, 4)
	for _, s := range schemes {
		switch s {
		case HubSHA1:
			made[HeaderHubSHA1] = prefixSHA1 + hex.EncodeToString(mac(sha1.New, rawKey(secrets[0]), body))
		case HubSHA256:
			made[HeaderHubSHA256] = prefixSHA256 + hex.EncodeToString(mac(sha256.New, rawKey(secrets[0]), body))
		case Standard:
			stamp := strconv.FormatInt(at.Unix(), 10)
			signatures, err := signStandard(secrets, id, stamp, body)
			if err != nil {
				return err
			}
			made[HeaderID], made[HeaderTimestamp], made[HeaderStandard] = id, stamp, signatures
		default:
			return fmt.Errorf("%w %q", ErrUnknownScheme, string(s))
		}
	}
	for name, value := range made {
		h.Set(name, value)
	}
	return nil
}

func signStandard(secrets []secret.Value, id, stamp string, body []byte) (string, error) {
	if !validID(id) {
		return "", ErrBadID
	}
	var b strings.Builder
	for i, s := range secrets {
		key, err := standardKey(s)
		if err != nil {
			return "", err
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(prefixStandard)
		b.WriteString(base64.StdEncoding.EncodeToString(macStandard(key, id, stamp, body)))
	}
	return b.String(), nil
}

func macStandard(key []byte, id, stamp string, body []byte) []byte {
	return mac(sha256.New, key, []byte(id), []byte{'.'}, []byte(stamp), []byte{'.'}, body)
}

func mac(h func() hash.Hash, key []byte, parts ...[]byte) []byte {
	m := hmac.New(h, key)
	for _, p := range parts {
		m.Write(p)
	}
	return m.Sum(nil)
}

func rawKey(s secret.Value) []byte { return []byte(s.Reveal()) }

func standardKey(s secret.Value) ([]byte, error) {
	key, err := s.StandardKey()
	if err != nil {
		return nil, ErrBadSecret
	}
	return key, nil
}

func checkSecrets(secrets []secret.Value) error {
	if len(secrets) == 0 {
		return ErrNoSecret
	}
	for i, s := range secrets {
		if s.IsZero() {
			return fmt.Errorf("%w: secret %d of %d is empty", ErrNoSecret, i+1, len(secrets))
		}
	}
	return nil
}

func validID(id string) bool {
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' || id[i] == '.' {
			return false
		}
	}
	return id != ""
}
