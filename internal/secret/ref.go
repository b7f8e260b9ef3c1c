package secret

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/hookturn/hookturn/internal/confined"
)

// Ref names a secret in a bot file. Exactly one of its members is set.
type Ref struct {
	Secret string `yaml:"secret"` // a file of the tenant's directory, else the tenant's variable of this name
	Env    string `yaml:"env"`    // an environment variable
	File   string `yaml:"file"`   // relative to the tenant's directory, or absolute and inside of it
}

// Sources are where the secrets of one tenant are kept. A tenant's bot file can name this tenant's secrets and no others:
// the files below Dir/<tenant>, and the variables that begin with HOOKTURN_SECRET_<TENANT>_.
//
// Errors contain neither a value nor a name that may be a value in the wrong place.
type Sources struct {
	Tenant    string
	Dir       string                           // the directory of all tenants; "": there is none
	LookupEnv func(name string) (string, bool) // nil: os.LookupEnv

	// Free lets a bot file name other variables and files, for development. The settings of hookturn, and the secrets of other
	// tenants, are never among them.
	Free    bool
	FreeDir string // what relative file names are relative to when Free
}

var (
	refName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$`)
	// shown are names that an error may repeat: a token that was pasted instead of a name has digits.
	shown    = regexp.MustCompile(`^[A-Za-z_.-]{1,40}$`)
	shownEnv = regexp.MustCompile(`^[A-Z_][A-Z0-9_]{0,127}$`)
)

var errWant = errors.New("want exactly one of secret, env and file")

// Check reports why a reference cannot be resolved anywhere: what can be known without reading.
func (s Sources) Check(ref Ref) error {
	set := 0
	for _, member := range []string{ref.Secret, ref.Env, ref.File} {
		if member != "" {
			set++
		}
	}
	switch {
	case set != 1:
		return errWant
	case ref.Secret != "" && !refName.MatchString(ref.Secret):
		return errors.New("secret is not a name: want 1 to 64 of A-Z a-z 0-9 _ - . that do not begin with a dot")
	case ref.Env != "":
		return s.checkEnv(ref.Env)
	case ref.File != "" && !s.Free && !filepath.IsAbs(ref.File) && !filepath.IsLocal(ref.File):
		return s.errOutside()
	}
	return nil
}

func (s Sources) errOutside() error {
	return fmt.Errorf("the file is outside of the directory %s of --secrets-dir", s.Tenant)
}

// Resolve reads the secret that a reference names.
func (s Sources) Resolve(ref Ref) (Value, error) {
	if err := s.Check(ref); err != nil {
		return Value{}, err
	}
	var text string
	var err error
	switch {
	case ref.Secret != "":
		text, err = s.named(ref.Secret)
	case ref.Env != "":
		text, err = s.env(ref.Env)
	default:
		text, err = s.file(ref.File)
	}
	if err != nil {
		return Value{}, err
	}
	return Parse(text)
}

// named reads the file in the tenant's directory, or the tenant's variable.
func (s Sources) named(name string) (string, error) {
	if s.Dir != "" {
		text, err := s.own(name)
		if !errors.Is(err, fs.ErrNotExist) {
			return text, err
		}
	}
	variable := EnvName(s.Tenant, name)
	if text, ok := s.lookup(variable); ok {
		return text, nil
	}
	if !shown.MatchString(name) {
		variable = tenantPrefix(s.Tenant) + "…"
	}
	if s.Dir == "" {
		return "", fmt.Errorf("environment variable %s is not set, and there is no --secrets-dir", variable)
	}
	return "", fmt.Errorf("the directory %s of --secrets-dir has no such file, and environment variable %s is not set",
		s.Tenant, variable)
}

func (s Sources) lookup(name string) (string, bool) {
	if s.LookupEnv == nil {
		return os.LookupEnv(name)
	}
	return s.LookupEnv(name)
}

func (s Sources) checkEnv(name string) error {
	prefix := tenantPrefix(s.Tenant)
	switch own := strings.HasPrefix(name, prefix) && name != prefix; {
	case own:
		return nil
	case isSetting(name):
		return fmt.Errorf("the variable is not a secret of tenant %s: its variables begin with %s", s.Tenant, prefix)
	case !s.Free:
		return fmt.Errorf("the variable is not a secret of tenant %s: its variables begin with %s "+
			"(--free-secrets allows others, for development)", s.Tenant, prefix)
	}
	return nil
}

func (s Sources) env(name string) (string, error) {
	text, ok := s.lookup(name)
	switch {
	case ok:
		return text, nil
	case shownEnv.MatchString(name):
		return "", fmt.Errorf("environment variable %s is not set", name)
	}
	return "", errors.New("there is no environment variable of this name")
}

func (s Sources) file(path string) (string, error) {
	if inside, ok := s.inside(path); ok {
		return s.own(inside)
	}
	switch {
	case s.Free:
		return s.anywhere(path)
	case s.Dir == "":
		return "", errors.New("files need --secrets-dir (--free-secrets allows any file, for development)")
	}
	return "", s.errOutside()
}

// inside returns the path relative to the tenant's directory, when the file is in it.
func (s Sources) inside(path string) (string, bool) {
	if s.Dir == "" {
		return "", false
	}
	if !filepath.IsAbs(path) {
		return path, !s.Free && filepath.IsLocal(path)
	}
	relative, err := filepath.Rel(filepath.Join(s.Dir, s.Tenant), path)
	return relative, err == nil && filepath.IsLocal(relative)
}

// own reads a file of the tenant's directory. Symbolic links out of the directory are not followed.
func (s Sources) own(name string) (string, error) {
	return fileText(confined.Read(filepath.Join(s.Dir, s.Tenant), name, readMax))
}

// readMax allows for the bytes that Parse removes.
const readMax = MaxSize + 16

func fileText(text []byte, err error) (string, error) {
	if err != nil {
		return "", fmt.Errorf("the file cannot be read: %w", err)
	}
	return string(text), nil
}

// anywhere reads a file for development. It rejects files that are not regular, such as a process's environment, and secrets
// of another tenant.
func (s Sources) anywhere(path string) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(s.FreeDir, path)
	}
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		_, err = fileText(nil, reason(err))
		return "", err
	}
	for _, system := range []string{"/proc", "/sys", "/dev"} {
		if target == system || strings.HasPrefix(target, system+"/") {
			return "", errors.New("the file is the system's")
		}
	}
	if s.Dir != "" {
		if secrets, err := filepath.EvalSymlinks(s.Dir); err == nil {
			if relative, err := filepath.Rel(secrets, target); err == nil && filepath.IsLocal(relative) {
				return "", s.errOutside()
			}
		}
	}
	return fileText(confined.ReadAnywhere(target, readMax))
}

func reason(err error) error {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return at.Err
	}
	return err
}

// Path returns the file of a secret, which need not exist yet, or "" when the secret cannot be a file. Watch it for
// rotations.
func (s Sources) Path(ref Ref) string {
	switch {
	case ref.Secret != "" && refName.MatchString(ref.Secret) && s.Dir != "":
		return filepath.Join(s.Dir, s.Tenant, ref.Secret)
	case ref.File == "":
		return ""
	}
	if inside, ok := s.inside(ref.File); ok {
		return filepath.Join(s.Dir, s.Tenant, inside)
	}
	switch {
	case !s.Free:
		return ""
	case filepath.IsAbs(ref.File):
		return filepath.Clean(ref.File)
	}
	return filepath.Join(s.FreeDir, ref.File)
}
