package gateway

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/hookturn/hookturn/internal/fresh"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/schemas"
)

// tokensMax bounds the file of event tokens, in bytes.
const tokensMax = 1 << 20

// EventTokens are the bearer tokens with which tenants publish events over HTTP. They are read from a file again when it
// changes.
type EventTokens struct {
	file *fresh.Value[map[httpapi.Digest]string]
}

// ReadEventTokens reads a file with one line for each token: the tenant, spaces, and the token or "sha256:" and its SHA-256
// in hex. Several lines of one tenant are valid side by side, for rotation. Lines that begin with # are comments.
func ReadEventTokens(path string, log *slog.Logger) (*EventTokens, error) {
	file, err := fresh.Read(log, func() (map[httpapi.Digest]string, error) {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("event tokens: %w", err)
		}
		tokens, err := parseEventTokens(text)
		if err != nil {
			return nil, fmt.Errorf("event tokens: %s: %w", path, err)
		}
		return tokens, nil
	}, path)
	return &EventTokens{file: file}, err
}

// tenant is whose token it is.
func (t *EventTokens) tenant(token string) (string, bool) {
	if t == nil || token == "" {
		return "", false
	}
	name, ok := t.file.Get()[httpapi.DigestOf(token)] // the timing of a lookup by hash does not leak similar tokens
	return name, ok
}

// parseEventTokens never quotes a token.
func parseEventTokens(text []byte) (map[httpapi.Digest]string, error) {
	if len(text) > tokensMax {
		return nil, fmt.Errorf("larger than %d bytes", tokensMax)
	}
	tokens := map[httpapi.Digest]string{}
	for n, line := range bytes.Split(bytes.TrimPrefix(text, []byte("\uFEFF")), []byte("\n")) {
		fields := strings.Fields(string(line))
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) != 2 {
			return nil, fmt.Errorf("line %d: want a tenant and a token", n+1)
		}
		if !schemas.IsToken(fields[0]) {
			return nil, fmt.Errorf("line %d: the tenant is not of the form [A-Za-z0-9_-]{1,64}", n+1)
		}
		key, err := httpapi.ParseToken(fields[1])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		if owner, twice := tokens[key]; twice && owner != fields[0] {
			return nil, fmt.Errorf("line %d: the token belongs to tenant %s already", n+1, owner)
		}
		tokens[key] = fields[0]
	}
	return tokens, nil
}
