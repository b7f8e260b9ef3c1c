package bot

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hookturn/hookturn/schemas"
)

// Options says how bot files are read. The zero value is right for production.
type Options struct {
	// LookupEnv finds the environment variables that secrets name. nil: os.LookupEnv.
	LookupEnv func(name string) (string, bool)
	// ReadFile reads bot files, scripts and the files of secrets. nil: regular files of at most 1 MiB.
	ReadFile func(path string) ([]byte, error)
	// AllowPlainHTTP lets endpoints begin with http://. Default: https only.
	AllowPlainHTTP bool
	// CheckURL is a further judgement on the URL of every step, such as the operator's rules for outgoing requests. nil: none.
	CheckURL func(raw string) error
	// CheckProgram is the judgement on a jq program of the plain dialect, with the place of what is wrong. nil: none.
	CheckProgram func(program string) error
	// Licences bound how many channels there may be of a type, over all bots; a type that is not named is not bounded.
	Licences map[string]int
	// OnReload is called after every Store.Reload, with its result, from the goroutine that reloads. nil: nothing.
	OnReload func(err error)
}

func (o Options) withDefaults() Options {
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	if o.ReadFile == nil {
		o.ReadFile = readFile
	}
	if o.CheckURL == nil {
		o.CheckURL = func(string) error { return nil }
	}
	if o.CheckProgram == nil {
		o.CheckProgram = func(string) error { return nil }
	}
	if o.OnReload == nil {
		o.OnReload = func(error) {}
	}
	return o
}

// Load reads every bot file of a directory: the files whose name ends in .yaml and does not begin with a dot. It gives
// a complete Set, or an error: Problems when files are at fault.
func Load(dir string, options Options) (*Set, error) {
	set, _, err := load(dir, options.withDefaults())
	return set, err
}

// load also gives the files that secrets are kept in, as far as they are known in spite of problems.
func load(dir string, options Options) (*Set, []string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("bot files: %w", err)
	}
	set := &Set{bots: map[schemas.BotID]*Bot{}, tokens: map[[sha256.Size]byte]*Channel{}}
	var problems Problems
	var secretFiles []string
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") || !isBotFile(name) {
			continue
		}
		bot, files, found := loadFile(dir, name, options)
		problems, secretFiles = append(problems, found...), append(secretFiles, files...)
		if bot != nil {
			// One name is one file, because a bot is named like its file.
			set.bots[bot.id] = bot
		}
	}
	problems = append(problems, set.clashes(options.Licences)...)
	slices.Sort(secretFiles)
	secretFiles = slices.Compact(secretFiles)
	if len(problems) > 0 {
		return nil, secretFiles, problems.sorted()
	}
	return set, secretFiles, nil
}

func isBotFile(name string) bool {
	extension := strings.ToLower(filepath.Ext(name))
	return extension == ".yaml" || extension == ".yml"
}

func loadFile(dir, name string, options Options) (*Bot, []string, Problems) {
	if !strings.HasSuffix(name, ".yaml") {
		return nil, nil, Problems{{File: name, Message: "the name of a bot file ends in .yaml: rename it"}}
	}
	data, err := options.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil, nil, Problems{{File: name, Message: "cannot be read: " + reason(err).Error()}}
	}
	return readBot(name, data, dir, options)
}

// reason is an error without the path that the problem names anyway.
func reason(err error) error {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return at.Err
	}
	return err
}

// readFileMax bounds what one read can cost; every kind of file has a smaller limit of its own.
const readFileMax = 1 << 20

// readFile reads a regular file. A pipe would block the load for ever, and a device may have no end.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, readFileMax+1))
	if err == nil && len(data) > readFileMax {
		err = fmt.Errorf("it is larger than %d bytes", readFileMax)
	}
	return data, err
}
