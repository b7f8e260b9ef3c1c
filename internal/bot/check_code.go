package bot

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/hookturn/hookturn/internal/confined"
	"github.com/hookturn/hookturn/schemas"
)

// ScriptMax is the longest script, in bytes.
const ScriptMax = 128 << 10

// Bounds of a code step's time, in which its script runs (contract, section 3).
const (
	codeTimeout    = 20 * second
	codeTimeoutMax = 30 * second
	// scriptTimeoutMax is that of a script that a channel names: as long as a channel may wait.
	scriptTimeoutMax = 60 * second
)

// scripts reads the scripts that channels name.
func (c *checker) scripts() {
	for name, code := range c.file.Scripts {
		if c.abandoned() {
			return
		}
		path := member("$.scripts", name)
		if !schemas.IsToken(name) {
			c.problem(path, "is not a name: want 1 to 64 of A-Z a-z 0-9 _ -")
		}
		c.bot.channelScripts[name] = c.code(path, code, scriptTimeoutMax)
	}
}

// code reads a script. What Python itself thinks of it is found when it first runs: a starter needs no Python.
func (c *checker) code(path string, code *fileCode, timeoutMax Duration) *Code {
	plan := &Code{File: code.File, Timeout: codeTimeout, Packages: c.ownPackages, Connections: c.ownConnections}
	if code.Timeout != nil {
		plan.Timeout = *code.Timeout
		c.within(path+".timeout", plan.Timeout, timeoutMin, timeoutMax)
	}
	if !c.has(path + ".file") {
		c.problem(path+".file", "is missing")
		return plan
	}
	if !filepath.IsLocal(code.File) {
		c.once(path+".file", "must name a file in the directory of the bot files")
		return plan
	}
	if owner := c.ownerOf(code.File); owner != "" {
		c.problem(path+".file", "stands in the directory of tenant %s", owner)
		return plan
	}
	script := c.memo.scripts.get(code.File, func() readScript { return c.readScript(code.File) })
	if script.err != nil {
		c.problem(path+".file", "%s", script.err)
	}
	plan.Script = script.id
	return plan
}

// readScript is the text of a script, by its fingerprint, or what is wrong with it.
type readScript struct {
	id  string
	err error
}

func (c *checker) readScript(name string) readScript {
	c.watch = append(c.watch, filepath.Join(c.home.path, name))
	text, err := confined.Read(c.home.path, name, readMax)
	if err != nil {
		return readScript{err: fmt.Errorf("the script cannot be read: %w", err)}
	}
	sum := sha256.Sum256(text)
	script := readScript{id: hex.EncodeToString(sum[:])}
	switch {
	case len(text) > ScriptMax:
		script.err = fmt.Errorf("the script has %d bytes: at most %d are possible", len(text), ScriptMax)
	case !utf8.Valid(text):
		script.err = errors.New("the script is not UTF-8")
	case bytes.IndexByte(text, 0) >= 0:
		script.err = fmt.Errorf("the script has a NUL byte, at %d", bytes.IndexByte(text, 0))
	case !bytes.Contains(text, []byte("main")):
		script.err = errors.New("the script has no main: it needs def main(event, context)")
	}
	c.bot.scripts[script.id] = string(text)
	return script
}

// ownerOf is the other tenant in whose directory a file stands, "" when there is none.
func (c *checker) ownerOf(name string) string {
	directory, _, below := strings.Cut(filepath.ToSlash(filepath.Clean(name)), "/")
	if !below || c.home.tenant != "" || directory == c.file.Tenant {
		return ""
	}
	tenants := c.memo.tenants.get(directory, func() bool {
		files, err := botFiles(filepath.Join(c.home.path, directory))
		return err == nil && len(files) > 0
	})
	if !tenants {
		return ""
	}
	return directory
}
