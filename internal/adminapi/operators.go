package adminapi

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/hookturn/hookturn/internal/fresh"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/internal/role"
	"github.com/hookturn/hookturn/schemas"
)

// Operator is a person or a program with a token.
type Operator struct {
	Name string
	Role role.Role
}

// plainName is the name of the operator of a file that holds a token and nothing else.
const plainName = "operator"

const (
	operatorsMax = 1 << 20 // bytes of the file
	fieldsNamed  = 3
)

// Operators are the tokens of the admin API. They are read again when their file changes.
type Operators struct {
	file *fresh.Value[map[httpapi.Digest]Operator]
}

// ReadOperators reads a file that holds one token, whose operator is an owner, or has one line for each token: a name, a
// role, and the token or "sha256:" and its SHA-256 in hex. Lines that begin with # are comments.
func ReadOperators(path string, log *slog.Logger) (*Operators, error) {
	file, err := fresh.Read(log, func() (map[httpapi.Digest]Operator, error) {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("operator tokens: %w", err)
		}
		operators, err := parseOperators(text)
		if err != nil {
			return nil, fmt.Errorf("operator tokens: %s: %w", path, err)
		}
		return operators, nil
	}, path)
	return &Operators{file: file}, err
}

// parseOperators never quotes a token.
func parseOperators(text []byte) (map[httpapi.Digest]Operator, error) {
	if len(text) > operatorsMax {
		return nil, fmt.Errorf("larger than %d bytes", operatorsMax)
	}
	operators := map[httpapi.Digest]Operator{}
	plain := false
	for n, line := range bytes.Split(bytes.TrimPrefix(text, []byte("\uFEFF")), []byte("\n")) {
		fields := strings.Fields(string(line))
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		token, operator, err := parseOperator(fields)
		switch {
		case err != nil:
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		case plain || len(fields) == 1 && len(operators) > 0:
			return nil, fmt.Errorf("line %d: a token without a name must be the only one of the file", n+1)
		}
		if other, twice := operators[token]; twice {
			return nil, fmt.Errorf("line %d: the token belongs to %s already", n+1, other.Name)
		}
		operators[token], plain = operator, len(fields) == 1
	}
	if len(operators) == 0 {
		return nil, errors.New("the file does not have a token")
	}
	return operators, nil
}

func parseOperator(fields []string) (httpapi.Digest, Operator, error) {
	operator := Operator{Name: plainName, Role: role.Owner}
	switch len(fields) {
	case 1:
	case fieldsNamed:
		operator = Operator{Name: fields[0], Role: role.Role(fields[1])}
	default:
		return httpapi.Digest{}, operator, errors.New("expected a name, a role and a token, or only a token")
	}
	if !schemas.IsToken(operator.Name) {
		return httpapi.Digest{}, operator, errors.New("invalid name, expected [A-Za-z0-9_-]{1,64}")
	}
	if !operator.Role.Known() {
		return httpapi.Digest{}, operator, fmt.Errorf("invalid role of %s, expected viewer, operator or owner", operator.Name)
	}
	token, err := httpapi.ParseToken(fields[len(fields)-1])
	return token, operator, err
}

// Find returns whose token it is.
func (o *Operators) Find(token string) (Operator, bool) {
	if token == "" {
		return Operator{}, false
	}
	return o.ByDigest(httpapi.DigestOf(token)) // the timing of a lookup by hash does not leak similar tokens
}

// ByDigest returns whose token has this digest, by the file as it is now.
func (o *Operators) ByDigest(token httpapi.Digest) (Operator, bool) {
	operator, ok := o.file.Get()[token]
	return operator, ok
}
