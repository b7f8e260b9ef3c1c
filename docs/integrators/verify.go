// Package integrators has the verification of hookturn's signatures as an integrator writes it, in Go; the files beside this
// one do the same in Python, Node.js and PHP. It uses the standard library only.
package integrators

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the scheme hub-sha1 is an HMAC, for which SHA-1 is sound
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Verify reports whether a request was signed with the secret. The body is what was received, byte for byte.
func Verify(scheme string, h http.Header, body []byte, secret string, now time.Time) bool {
	switch scheme {
	case "hub-sha1":
		m := hmac.New(sha1.New, []byte(secret))
		m.Write(body)
		return hmac.Equal([]byte("sha1="+hex.EncodeToString(m.Sum(nil))), []byte(h.Get("X-Hub-Signature")))
	case "hub-sha256":
		m := hmac.New(sha256.New, []byte(secret))
		m.Write(body)
		return hmac.Equal([]byte("sha256="+hex.EncodeToString(m.Sum(nil))), []byte(h.Get("X-Hub-Signature-256")))
	}
	id, stamp := h.Get("Webhook-Id"), h.Get("Webhook-Timestamp")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || id == "" || now.Sub(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return false
	}
	key := []byte(secret)
	if encoded, ok := strings.CutPrefix(secret, "whsec_"); ok {
		if key, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return false
		}
	}
	m := hmac.New(sha256.New, key)
	m.Write([]byte(id + "." + stamp + "." + string(body)))
	want, valid := []byte("v1,"+base64.StdEncoding.EncodeToString(m.Sum(nil))), false
	for sent := range strings.FieldsSeq(h.Get("Webhook-Signature")) {
		valid = hmac.Equal(want, []byte(sent)) || valid
	}
	return valid
}
