package gateway

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// digest is the SHA-256 of a token: all that is kept of it, and all that is compared.
type digest [sha256.Size]byte

func digestOf(token string) digest { return sha256.Sum256([]byte(token)) }

// is compares without telling by its time how much of a guess was right.
func (d digest) is(other digest) bool { return subtle.ConstantTimeCompare(d[:], other[:]) == 1 }

// bearer is the token of the Authorization header (RFC 6750, section 2.1), "" when there is none.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// unauthorized answers a request with no token or a wrong one; it does not say which.
func unauthorized(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="hookturn"`)
	refuse(w, http.StatusUnauthorized, "", "the request needs the header Authorization: Bearer with a valid token")
}
