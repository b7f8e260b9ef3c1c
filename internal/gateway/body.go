package gateway

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"

	"github.com/hookturn/hookturn/internal/dialect/strictjson"
	"github.com/hookturn/hookturn/internal/fault"
)

// bodyMax bounds every body, in bytes (contract, section 5).
const bodyMax = 1 << 20

// readBody reads a whole body of at most limit bytes; what is wrong with it is answered here.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, bool) {
	if !uncompressed(w, r) {
		return nil, false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	_, tooLarge := errors.AsType[*http.MaxBytesError](err)
	switch {
	case err == nil:
		return body, true
	case tooLarge:
		refuse(w, http.StatusRequestEntityTooLarge, fault.TooLarge, fmt.Sprintf("the body is larger than %d bytes", limit))
	case errors.Is(err, os.ErrDeadlineExceeded):
		refuse(w, http.StatusRequestTimeout, fault.Timeout, "the body did not come in time")
	default:
		refuse(w, http.StatusBadRequest, fault.Reset, "the body ended early")
	}
	return nil, false
}

// uncompressed refuses a body that is compressed.
func uncompressed(w http.ResponseWriter, r *http.Request) bool {
	if r.Header.Get("Content-Encoding") == "" {
		return true
	}
	refuse(w, http.StatusUnsupportedMediaType, fault.Encoding, "Content-Encoding is not supported")
	return false
}

// readJSON reads a body that must be JSON; what is wrong with it is answered here with the error code.
func readJSON(w http.ResponseWriter, r *http.Request, limit int64, word fault.Kind) ([]byte, bool) {
	if !isJSON(r.Header.Get("Content-Type")) {
		refuse(w, http.StatusUnsupportedMediaType, fault.Encoding, "Content-Type must be application/json")
		return nil, false
	}
	body, ok := readBody(w, r, limit)
	if !ok {
		return nil, false
	}
	document, err := strictjson.Read(body)
	if err != nil {
		refuse(w, http.StatusBadRequest, word, "the body: "+err.Error())
		return nil, false
	}
	return document, true
}

// isJSON reports whether a media type is JSON's; a request that names none is believed to be.
func isJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}
