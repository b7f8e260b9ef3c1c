package httpapi

import (
	"net/http"
	"net/url"
	"strings"
)

// SameHost reports whether a web origin, the value of the header Origin, has the host and port that a request was sent to.
// The scheme is not compared: a proxy may have ended TLS.
func SameHost(r *http.Request, origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}
