package bot

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/hookturn/hookturn/internal/nearest"
)

// Options configures how bot files are read. The zero value is for production.
type Options struct {
	// Dialects are those that bot files can name; dialects.Specs returns those of this release. Required.
	Dialects []Spec
	// SecretsDir is the directory with a directory of secrets for each tenant. "": none.
	SecretsDir string
	// LookupEnv finds the environment variables of secrets. nil: os.LookupEnv.
	LookupEnv func(name string) (string, bool)
	// FreeSecrets lets bot files name other variables and files than those of their tenant, for development.
	FreeSecrets bool
	// WithoutSecrets does not read secrets, so that neither their existence nor their values are checked. It is for files
	// that are checked elsewhere than where they run.
	WithoutSecrets bool
	// RefuseBad lets NewStore fail when any file is bad. Default: a bad file holds back its own bot.
	RefuseBad bool
	// AllowPlainHTTP lets endpoints begin with http://. Default: https only.
	AllowPlainHTTP bool
	// CheckURL checks the URL of every step too, for example against the egress policy. nil: no check.
	CheckURL func(raw string) error
	// CheckProgram checks a jq program of the plain dialect; its error names the place. nil: no check.
	CheckProgram func(program string) error
	// CheckPackage checks a wheel of a bot, by its name and the SHA-256 of its content. nil: no check, in processes without the
	// operator's directory of packages.
	CheckPackage func(wheel, sum string) error
	// Licences limits the channels of a type, over all bots. Types without an entry are not limited.
	Licences map[string]int
	// LoadTimeout bounds the time for one file, or for all files of one tenant's directory; default 10 s. Slower loads are
	// abandoned and reported as bad.
	LoadTimeout time.Duration
	// OnLoad is called after every load of a Store, in the loading goroutine. It may be nil.
	OnLoad func(Status)

	// nearest ends a problem about an unknown name with the known one that was probably meant. nil: nearest.Hint.
	nearest func(text string, names []string) string
}

const loadTimeout = 10 * time.Second

// errNoDialects is a mistake in the wiring of a process.
var errNoDialects = errors.New("bot files: Options.Dialects is empty, expected dialects.Specs()")

func (o Options) withDefaults() Options {
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	if absolute, err := filepath.Abs(o.SecretsDir); err == nil && o.SecretsDir != "" {
		o.SecretsDir = absolute
	}
	if o.CheckURL == nil {
		o.CheckURL = func(string) error { return nil }
	}
	if o.CheckProgram == nil {
		o.CheckProgram = func(string) error { return nil }
	}
	if o.CheckPackage == nil {
		o.CheckPackage = func(string, string) error { return nil }
	}
	if o.LoadTimeout <= 0 {
		o.LoadTimeout = loadTimeout
	}
	if o.nearest == nil {
		o.nearest = nearest.Hint
	}
	if o.OnLoad == nil {
		o.OnLoad = func(Status) {}
	}
	return o
}

// Load reads the bot files of a directory and returns a Set when all of them are good, else Problems.
func Load(dir string, options Options) (*Set, error) {
	set, problems, _, err := Check(dir, options)
	switch {
	case err != nil:
		return nil, err
	case len(problems) > 0:
		return nil, problems
	}
	return set, nil
}

// Check reads the bot files of a directory: those whose name ends in .yaml and does not begin with a dot, there and in
// the directories that are named like tenants. It returns a Set of the good ones, the problems of the bad ones, and
// warnings that hold nothing back. The error is about the directory as a whole.
func Check(dir string, options Options) (set *Set, problems, warnings Problems, err error) {
	if len(options.Dialects) == 0 {
		return nil, nil, nil, errNoDialects
	}
	l, err := newLoader(dir, options.withDefaults()).load(nil)
	if err != nil {
		return nil, nil, nil, err
	}
	return l.set, l.problems.sorted(), l.warnings.sorted(), nil
}
