package bot

import (
	"os"
	"path/filepath"
	"time"
)

// Options says how bot files are read. The zero value is right for production.
type Options struct {
	// SecretsDir is the directory with a directory of secrets for each tenant. "": none.
	SecretsDir string
	// LookupEnv finds the environment variables of secrets. nil: os.LookupEnv.
	LookupEnv func(name string) (string, bool)
	// FreeSecrets lets bot files name other variables and files than those of their tenant, for development.
	FreeSecrets bool
	// WithoutSecrets reads no secret: whether one can be resolved, and what depends on its value, is not checked. For files
	// that are checked elsewhere than where they run.
	WithoutSecrets bool
	// RefuseBad makes NewStore fail when any file is bad. Default: a bad file holds back its own bot.
	RefuseBad bool
	// AllowPlainHTTP lets endpoints begin with http://. Default: https only.
	AllowPlainHTTP bool
	// CheckURL is a further judgement on the URL of every step, such as the operator's rules for outgoing requests. nil: none.
	CheckURL func(raw string) error
	// CheckProgram is the judgement on a jq program of the plain dialect, with the place of what is wrong. nil: none.
	CheckProgram func(program string) error
	// Licences bound how many channels there may be of a type, over all bots; a type that is not named is not bounded.
	Licences map[string]int
	// LoadTimeout bounds the time for one file, or for all files of one tenant's directory; default 10 s. What takes longer is
	// abandoned and reported as bad.
	LoadTimeout time.Duration
	// OnLoad is called after every load of a Store, from the goroutine that loads. nil: nothing.
	OnLoad func(Status)
}

const loadTimeout = 10 * time.Second

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
	if o.LoadTimeout <= 0 {
		o.LoadTimeout = loadTimeout
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
	l, err := newLoader(dir, options.withDefaults()).load(nil)
	if err != nil {
		return nil, nil, nil, err
	}
	return l.set, l.problems.sorted(), l.warnings.sorted(), nil
}
