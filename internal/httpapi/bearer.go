package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
)

// Digest is the SHA-256 of a token: all that is kept of it, and all that is compared.
type Digest [sha256.Size]byte

// DigestOf returns the digest of a token.
func DigestOf(token string) Digest { return sha256.Sum256([]byte(token)) }

// Is reports whether two digests are equal; its time does not show how much of a guess was right.
func (d Digest) Is(other Digest) bool { return subtle.ConstantTimeCompare(d[:], other[:]) == 1 }

// Bearer returns the token of the Authorization header (RFC 6750, section 2.1), "" when there is none.
func Bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// Unauthorized returns the problem of a request without a token or with a wrong one; it does not distinguish them.
func Unauthorized() *Problem {
	return Reject(http.StatusUnauthorized, "", "the request needs the header Authorization: Bearer with a valid token").
		With("Www-Authenticate", `Bearer realm="hookturn"`)
}

const (
	// tokenMin keeps tokens out of reach of guessing: 20 random characters of 64 are 120 bits.
	tokenMin = 20
	// hashed marks a text that holds the SHA-256 of a token, in hex, instead of the token.
	hashed = "sha256:"
)

// ParseToken returns the digest of a token of a file of tokens: the token, or "sha256:" and its SHA-256 in hex. Errors do
// not quote it.
func ParseToken(text string) (Digest, error) {
	given, isHash := strings.CutPrefix(text, hashed)
	if !isHash {
		if len(text) < tokenMin {
			return Digest{}, fmt.Errorf("the token is shorter than %d characters", tokenMin)
		}
		return DigestOf(text), nil
	}
	sum, err := hex.DecodeString(given)
	if err != nil || len(sum) != len(Digest{}) {
		return Digest{}, fmt.Errorf("after %q 64 hex digits must follow", hashed)
	}
	return Digest(sum), nil
}
