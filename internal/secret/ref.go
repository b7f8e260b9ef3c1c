package secret

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// MaxSize is the longest secret, in bytes.
const MaxSize = 64 << 10

// Ref says where a secret is kept: in an environment variable or in a file. Exactly one of the two is set.
type Ref struct {
	Env  string `yaml:"env"`
	File string `yaml:"file"` // relative to the directory of the bot files, or absolute
}

// Resolver turns references into values. Its errors never hold a value, nor the text of a reference that may be a value
// written in the wrong place.
type Resolver struct {
	Dir       string                            // what relative file names are relative to
	LookupEnv func(name string) (string, bool)  // nil: os.LookupEnv
	ReadFile  func(path string) ([]byte, error) // nil: os.ReadFile
}

// upperName is how environment variables are usually spelled. Only such a name is repeated in an error: a token that
// somebody pasted instead of a name seldom looks like one.
var upperName = regexp.MustCompile(`^[A-Z_][A-Z0-9_]{0,127}$`)

// Path is the file that a reference names, "" when it names none. Watch it to notice a rotation.
func (r Resolver) Path(ref Ref) string {
	if ref.File == "" {
		return ""
	}
	if filepath.IsAbs(ref.File) {
		return filepath.Clean(ref.File)
	}
	return filepath.Join(r.Dir, ref.File)
}

// Resolve reads the secret. Newlines at the end of a file are no part of it. An empty secret is an error: it would sign
// with a key that everybody knows.
func (r Resolver) Resolve(ref Ref) (Value, error) {
	var text string
	var err error
	switch {
	case (ref.Env == "") == (ref.File == ""):
		return Value{}, errors.New("want exactly one of env and file")
	case ref.Env != "":
		text, err = r.env(ref.Env)
	default:
		text, err = r.file(r.Path(ref))
	}
	switch {
	case err != nil:
		return Value{}, err
	case text == "":
		return Value{}, errors.New("the secret is empty")
	case len(text) > MaxSize:
		return Value{}, fmt.Errorf("the secret is longer than %d bytes", MaxSize)
	}
	return New(text), nil
}

func (r Resolver) env(name string) (string, error) {
	lookup := r.LookupEnv
	if lookup == nil {
		lookup = os.LookupEnv
	}
	text, ok := lookup(name)
	switch {
	case ok:
		return text, nil
	case upperName.MatchString(name):
		return "", fmt.Errorf("environment variable %s is not set", name)
	}
	return "", errors.New("there is no environment variable of this name")
}

func (r Resolver) file(path string) (string, error) {
	read := r.ReadFile
	if read == nil {
		read = os.ReadFile
	}
	text, err := read(path)
	if err != nil {
		// A path error repeats the path; the reason alone says enough beside the place in the bot file.
		if at, ok := errors.AsType[*fs.PathError](err); ok {
			err = at.Err
		}
		return "", fmt.Errorf("the file cannot be read: %w", err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}
