package secret

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxSize is the longest secret, in bytes.
	MaxSize = 64 << 10
	// WhsecPrefix begins a secret of Standard Webhooks; base64 follows.
	WhsecPrefix = "whsec_"

	versionPrefix = "v1,"
	pemBegins     = "-----BEGIN "
)

// Parse returns the secret in the text of a file or a variable. It removes a byte order mark at the beginning and one line
// break at the end. The value must be a single line, except in PEM. Invisible characters are an error, because they would
// change every signature unnoticed; so is an empty value. "v1,whsec_…" is read as "whsec_…".
func Parse(text string) (Value, error) {
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		return Value{}, errors.New("the secret is UTF-16 text: save it as UTF-8")
	}
	text = trimLineEnd(strings.TrimPrefix(text, "\uFEFF"))
	if err := check(text); err != nil {
		return Value{}, err
	}
	if strings.HasPrefix(text, versionPrefix+WhsecPrefix) {
		text = strings.TrimPrefix(text, versionPrefix)
	}
	return New(text), nil
}

func trimLineEnd(text string) string {
	for _, end := range []string{"\r\n", "\n", "\r"} {
		if rest, found := strings.CutSuffix(text, end); found {
			return rest
		}
	}
	return text
}

func check(text string) error {
	pem := strings.Contains(text, pemBegins)
	switch {
	case text == "":
		return errors.New("the secret is empty")
	case len(text) > MaxSize:
		return fmt.Errorf("the secret is longer than %d bytes", MaxSize)
	case !utf8.ValidString(text):
		return errors.New("the secret is not UTF-8 text: write a binary key as whsec_ and its base64")
	case !pem && strings.ContainsAny(text, "\r\n\u0085\u2028\u2029"):
		return errors.New("the secret has several lines: it must be one line, except in PEM")
	case strings.ContainsFunc(text, func(r rune) bool { return invisible(r) && (!pem || !strings.ContainsRune("\r\n\t", r)) }):
		return errors.New("the secret contains a control character or an invisible one")
	case !pem && strings.TrimSpace(text) != text:
		return errors.New("the secret begins or ends with a space")
	}
	return nil
}

// invisible reports whether a character is not visible. Spaces inside a secret are allowed.
func invisible(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }

// StandardKey returns the bytes with which Standard Webhooks signs: what the base64 after whsec_ means, or the text itself.
// The error does not describe the value.
func (v Value) StandardKey() ([]byte, error) {
	encoded, isWhsec := strings.CutPrefix(v.Reveal(), WhsecPrefix)
	if !isWhsec {
		return []byte(v.Reveal()), nil
	}
	key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
	if err != nil || len(key) == 0 {
		return nil, errors.New("the secret begins with whsec_, but what follows is not base64")
	}
	return key, nil
}

// IsWhsec reports whether the value has the form of Standard Webhooks.
func (v Value) IsWhsec() bool {
	_, err := v.StandardKey()
	return err == nil && strings.HasPrefix(v.Reveal(), WhsecPrefix)
}

// generatedBytes is within the 24 to 64 bytes of Standard Webhooks.
const generatedBytes = 32

// Generate returns a new secret for Standard Webhooks.
func Generate() Value {
	key := make([]byte, generatedBytes)
	_, _ = rand.Read(key) // never fails: it ends the process when the system has no randomness
	return New(WhsecPrefix + base64.StdEncoding.EncodeToString(key))
}
