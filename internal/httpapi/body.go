package httpapi

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

// ReadBody reads a whole body of at most limit bytes; what is wrong with it is answered here.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, bool) {
	if !Uncompressed(w, r) {
		return nil, false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	_, tooLarge := errors.AsType[*http.MaxBytesError](err)
	switch {
	case err == nil:
		return body, true
	case tooLarge:
		Refuse(w, http.StatusRequestEntityTooLarge, fault.TooLarge, fmt.Sprintf("the body is larger than %d bytes", limit))
	case errors.Is(err, os.ErrDeadlineExceeded):
		Refuse(w, http.StatusRequestTimeout, fault.Timeout, "the body did not come in time")
	default:
		Refuse(w, http.StatusBadRequest, fault.Reset, "the body ended early")
	}
	return nil, false
}

// Uncompressed refuses a body that is compressed.
func Uncompressed(w http.ResponseWriter, r *http.Request) bool {
	if r.Header.Get("Content-Encoding") == "" {
		return true
	}
	Refuse(w, http.StatusUnsupportedMediaType, fault.Encoding, "Content-Encoding is not supported")
	return false
}

// ReadJSON reads a body that must be JSON; what is wrong with it is answered here with the error code.
func ReadJSON(w http.ResponseWriter, r *http.Request, limit int64, word fault.Kind) ([]byte, bool) {
	if !isJSON(r.Header.Get("Content-Type")) {
		Refuse(w, http.StatusUnsupportedMediaType, fault.Encoding, "Content-Type must be application/json")
		return nil, false
	}
	body, ok := ReadBody(w, r, limit)
	if !ok {
		return nil, false
	}
	document, err := strictjson.Read(body)
	if err != nil {
		Refuse(w, http.StatusBadRequest, word, "the body: "+err.Error())
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
