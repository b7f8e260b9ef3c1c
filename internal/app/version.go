package app

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"runtime"
	"runtime/debug"
)

// Set by the build of a release: -ldflags "-X github.com/hookturn/hookturn/internal/app.version=v1.2.3". Without revision
// and date, those that the Go command recorded are used.
var (
	version  = development
	revision string // of the source
	date     string // RFC 3339
)

// development is the version of a build that is not a release.
const development = "dev"

// Version is the version of the programs: the release's, else "dev" and the revision of the source.
var Version = describeVersion(version, readSettings())

// Build identifies the build of the programs.
var Build = describeBuild(readSettings())

// BuildInfo identifies a build.
type BuildInfo struct{ Version, Revision, Date, Go string }

// String returns one line for --version: v1.2.3 (revision 1a2b3c, built 2026-11-28T12:00:00Z, go1.26.8 linux/arm64).
func (b BuildInfo) String() string {
	text := b.Version + " ("
	if b.Revision != "" {
		text += "revision " + b.Revision + ", "
	}
	if b.Date != "" {
		text += "built " + b.Date + ", "
	}
	return text + b.Go + " " + runtime.GOOS + "/" + runtime.GOARCH + ")"
}

func describeBuild(s settings) BuildInfo {
	return BuildInfo{
		Version: Version, Revision: cmp.Or(revision, s.revision), Date: cmp.Or(date, s.time), Go: runtime.Version(),
	}
}

const revisionShown = 12 // hex digits of a revision

// settings are what the Go command recorded about the source tree of a build.
type settings struct {
	revision string
	time     string // of the revision
	modified bool
}

func readSettings() settings {
	var s settings
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return s
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			s.revision = setting.Value
		case "vcs.time":
			s.time = setting.Value
		case "vcs.modified":
			s.modified = setting.Value == "true"
		}
	}
	return s
}

func describeVersion(release string, s settings) string {
	if release != development || s.revision == "" {
		return release
	}
	text := release + "+" + s.revision[:min(len(s.revision), revisionShown)]
	if s.modified {
		text += ".modified"
	}
	return text
}

// DefaultBuildID returns the build id of this program: its version. Where the version does not identify the code,
// because the source tree was modified or its revision is unknown, a hash of the executable is appended.
func DefaultBuildID() string {
	s := readSettings()
	if version != development || s.revision != "" && !s.modified {
		return Version
	}
	path, err := os.Executable()
	if err != nil {
		return Version
	}
	file, err := os.Open(path)
	if err != nil {
		return Version
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return Version
	}
	separator := "."
	if s.revision == "" {
		separator = "+"
	}
	return Version + separator + hex.EncodeToString(sum.Sum(nil)[:revisionShown/2])
}
