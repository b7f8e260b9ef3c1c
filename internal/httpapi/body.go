package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/header"
	"github.com/hookturn/hookturn/internal/strictjson"
)

// BodyMax bounds every body, in bytes (contract, section 5).
const BodyMax = 1 << 20

// ReadBody reads a whole body of at most limit bytes.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if err := Uncompressed(r); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	_, tooLarge := errors.AsType[*http.MaxBytesError](err)
	switch {
	case err == nil:
		return body, nil
	case tooLarge:
		return nil, Reject(http.StatusRequestEntityTooLarge, fault.TooLarge,
			fmt.Sprintf("the body is larger than %d bytes", limit))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, Reject(http.StatusRequestTimeout, fault.Timeout, "the body did not come in time")
	}
	return nil, Reject(http.StatusBadRequest, fault.Reset, "the body ended early")
}

// Uncompressed rejects a body that is compressed. The coding identity does not compress.
func Uncompressed(r *http.Request) error {
	if !header.Compressed(r.Header) {
		return nil
	}
	return Reject(http.StatusUnsupportedMediaType, fault.Encoding, "Content-Encoding is not supported")
}

// ReadJSON reads a body that must be JSON; kind is the error code of what is wrong with it.
func ReadJSON(w http.ResponseWriter, r *http.Request, limit int64, kind fault.Kind) ([]byte, error) {
	if err := namesJSON(r); err != nil {
		return nil, err
	}
	body, err := ReadBody(w, r, limit)
	if err != nil {
		return nil, err
	}
	return document(body, kind)
}

// ReadOptionalJSON is ReadJSON for a body that may be empty: of one that holds no more than white space and a byte order
// mark the result is nil, whatever its Content-Type is.
func ReadOptionalJSON(w http.ResponseWriter, r *http.Request, limit int64, kind fault.Kind) ([]byte, error) {
	body, err := ReadBody(w, r, limit)
	if err != nil || len(bytes.TrimSpace(strictjson.WithoutBOM(body))) == 0 {
		return nil, err
	}
	if err := namesJSON(r); err != nil {
		return nil, err
	}
	return document(body, kind)
}

func document(body []byte, kind fault.Kind) ([]byte, error) {
	text, err := strictjson.Read(body)
	if err != nil {
		return nil, Reject(http.StatusBadRequest, kind, "the body: "+err.Error())
	}
	return text, nil
}

// namesJSON rejects a request whose Content-Type is not JSON's.
func namesJSON(r *http.Request) error {
	if isJSON(r.Header.Get("Content-Type")) {
		return nil
	}
	return Reject(http.StatusUnsupportedMediaType, fault.Encoding, "Content-Type must be application/json")
}

// isJSON reports whether a media type is JSON's; a request that names none is believed to be.
func isJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}
