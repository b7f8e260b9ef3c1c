package endpoint

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"net/http"
	"slices"
)

// SignatureHeader carries "sha1=" and the HMAC-SHA1 of the raw body, in lower-case hex, with the secret's bytes as key.
const SignatureHeader = "X-Hub-Signature"

// Sign returns the value of SignatureHeader.
func Sign(secret string, body []byte) string {
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write(body)
	return "sha1=" + hex.EncodeToString(mac.Sum(nil))
}

// Verify reports whether a request is signed with the secret. The body must be the received bytes: JSON that was decoded and
// encoded again has another signature. During a rotation the header can be there twice.
func Verify(secret string, body []byte, header http.Header) bool {
	want := Sign(secret, body)
	return slices.ContainsFunc(header.Values(SignatureHeader), func(got string) bool {
		return hmac.Equal([]byte(got), []byte(want))
	})
}
