package bot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hookturn/hookturn/internal/confined"
	"github.com/hookturn/hookturn/schemas"
)

const (
	// readMax bounds the size of a bot file or script; each has a smaller limit of its own.
	readMax = 1 << 20
	// filesMax bounds the bot files of one directory.
	filesMax = 10_000
)

// home is a directory of bot files: the one of the operator, or that of one tenant inside of it.
type home struct {
	path   string
	tenant string // whose directory it is; "" = the operator's, whose files may be of any tenant
}

// fileName is how problems call a file of the home.
func (h home) fileName(base string) string {
	if h.tenant == "" {
		return base
	}
	return h.tenant + "/" + base
}

// unit is what is loaded in one go, under one time limit: a file of the operator, or all files of a tenant.
type unit struct {
	name  string // of the file or of the tenant's directory
	home  home
	files []string // base names
	err   error    // why a directory cannot be read
}

// list finds all bot files of a directory.
func list(dir string) ([]unit, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("bot files: %w", err)
	}
	var units []unit
	for _, entry := range entries {
		if u := unitOf(dir, entry); len(u.files) > 0 || u.err != nil {
			units = append(units, u)
		}
	}
	if len(units) > filesMax {
		return nil, fmt.Errorf("bot files: more than %d in one directory", filesMax)
	}
	return units, nil
}

// unitOf is what an entry of the operator's directory stands for: nothing, a bot file, or the directory of a tenant.
func unitOf(dir string, entry fs.DirEntry) unit {
	name := entry.Name()
	switch {
	case strings.HasPrefix(name, "."):
		return unit{}
	case isBotFile(name):
		return unit{name: name, home: home{path: dir}, files: []string{name}}
	}
	u := unit{name: name, home: home{path: filepath.Join(dir, name), tenant: name}}
	info, err := os.Stat(u.home.path) // follows links, as those of Kubernetes volumes
	switch link := entry.Type()&fs.ModeSymlink != 0; {
	case err == nil && !info.IsDir(), errors.Is(err, fs.ErrNotExist) && !link:
		return unit{}
	case err != nil:
		// An error is not an absence: the tenant's bots stay.
		u.err = fmt.Errorf("cannot be read: %w", reason(err))
		return u
	}
	u.files, u.err = botFiles(u.home.path)
	if len(u.files) > 0 && !schemas.IsToken(name) {
		u.files, u.err = nil, errors.New("has bot files, but is not named like a tenant: want 1 to 64 of A-Z a-z 0-9 _ -")
	}
	return u
}

// botFiles lists the bot files of a tenant's directory.
func botFiles(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("the directory cannot be read: %w", reason(err))
	}
	var names []string
	for _, entry := range entries {
		if name := entry.Name(); isBotFile(name) && !strings.HasPrefix(name, ".") {
			names = append(names, name)
		}
	}
	if len(names) > filesMax {
		return nil, fmt.Errorf("has more than %d bot files", filesMax)
	}
	slices.Sort(names)
	return names, nil
}

func isBotFile(name string) bool {
	extension := strings.ToLower(filepath.Ext(name))
	return extension == ".yaml" || extension == ".yml"
}

// result is what one file means.
type result struct {
	file     string // as problems call it
	bot      *Bot   // nil when the file is bad
	problems Problems
	warnings Problems
	watch    []string // paths of secrets and scripts, known as far as the file could be read
}

// loadFile reads one file of a home.
func (l *loader) loadFile(h home, base string, abandoned func() bool) result {
	r := result{file: h.fileName(base)}
	if !strings.HasSuffix(base, ".yaml") {
		r.problems = Problems{{File: r.file, Message: "the name of a bot file ends in .yaml: rename it"}}
		return r
	}
	data, err := confined.Read(h.path, base, readMax)
	if err != nil {
		r.problems = Problems{{File: r.file, Message: "cannot be read: " + err.Error()}}
		return r
	}
	r = readBot(base, data, h, l.options, abandoned)
	if info, err := os.Stat(filepath.Join(h.path, base)); err == nil && r.bot != nil {
		r.bot.modified = info.ModTime().UTC()
	}
	return r
}
