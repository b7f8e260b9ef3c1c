package header

import (
	"net/http"
	"strings"
)

// Compressed reports whether the Content-Encoding of a message names any coding but identity, in upper or lower case.
func Compressed(h http.Header) bool {
	for _, value := range h.Values("Content-Encoding") {
		for coding := range strings.SplitSeq(value, ",") {
			if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
				return true
			}
		}
	}
	return false
}
