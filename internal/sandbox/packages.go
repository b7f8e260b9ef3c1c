package sandbox

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/hookturn/hookturn/internal/confined"
	"github.com/hookturn/hookturn/internal/fault"
)

// Limits of the wheels of one script.
const (
	WheelMax      = 64 << 20  // bytes of one wheel
	unpackedMax   = 512 << 20 // bytes of all files of a script's wheels
	unpackedFiles = 40_000
)

// Wheel is a Python package that the operator provides, by the name of its file and the SHA-256 of its content in hex.
type Wheel struct{ File, SHA256 string }

// wheelName is the form of names of wheels (PEP 427), which is also a form of safe file names.
var wheelName = regexp.MustCompile(`^[A-Za-z0-9_.!+]+(-[A-Za-z0-9_.!+]+){4,5}\.whl$`)

// CheckName reports whether the name of the file is that of a wheel, with no directory in it.
func (w Wheel) CheckName() error {
	if len(w.File) > 200 || !wheelName.MatchString(w.File) {
		return errors.New("is not the name of a wheel, expected NAME-VERSION-PYTHON-ABI-PLATFORM.whl without a directory")
	}
	return nil
}

// ReadWheel reads a wheel from the operator's directory and checks its content.
func ReadWheel(dir string, w Wheel) ([]byte, error) {
	if err := w.CheckName(); err != nil {
		return nil, fmt.Errorf("%s %w", w.File, err)
	}
	content, err := confined.Read(dir, w.File, WheelMax+1)
	switch sum := sha256.Sum256(content); {
	case err != nil:
		return nil, fmt.Errorf("the wheel %s cannot be read from the directory of packages: %w", w.File, err)
	case len(content) > WheelMax:
		return nil, fmt.Errorf("the wheel %s has more than %d bytes", w.File, WheelMax)
	case hex.EncodeToString(sum[:]) != w.SHA256:
		return nil, fmt.Errorf("the wheel %s has the SHA-256 %x, expected %s", w.File, sum, w.SHA256)
	}
	return content, nil
}

// library holds unpacked wheels below one directory: a folder for each list of wheels. The zygote mounts the directory
// read-only; a process sees only the folder of its own list.
type library struct {
	wheels string // directory of the operator; "" = none
	root   string

	mu   sync.Mutex
	sets map[string]*sync.Mutex // guards the unpacking of a list
}

// newLibrary returns a new library. Its directory is readable for the users of scripts.
func newLibrary(wheels string) (*library, error) {
	l := &library{wheels: wheels, sets: map[string]*sync.Mutex{}}
	if wheels == "" {
		return l, nil
	}
	root, err := os.MkdirTemp("", "hookturn-packages-")
	if err == nil {
		err = os.Chmod(root, 0o755) //nolint:gosec // scripts run as other users; the content is public
	}
	if err != nil {
		return nil, fmt.Errorf("create a directory for packages: %w", err)
	}
	l.root = root
	return l, nil
}

func (l *library) close() {
	if l.root != "" {
		_ = os.RemoveAll(l.root)
	}
}

// get returns the folder of a list of wheels, and unpacks them when it is the first to need them; "" = no wheels.
func (l *library) get(ctx context.Context, wheels []Wheel) (string, *fault.Fault) {
	switch {
	case len(wheels) == 0:
		return "", nil
	case l.wheels == "":
		return "", fault.New(fault.Config, "this worker does not have packages: set --packages to the directory of wheels")
	}
	sum := sha256.New()
	for _, w := range wheels {
		fmt.Fprintf(sum, "%s %s\n", w.SHA256, w.File)
	}
	id := hex.EncodeToString(sum.Sum(nil)[:16])
	l.mu.Lock()
	one, known := l.sets[id]
	if !known {
		one = &sync.Mutex{}
		l.sets[id] = one
	}
	l.mu.Unlock()
	one.Lock()
	defer one.Unlock()
	folder := filepath.Join(l.root, id)
	if _, err := os.Stat(folder); err == nil {
		return id, nil
	}
	if err := l.unpackAll(ctx, folder, wheels); err != nil {
		return "", fault.Wrap(fault.Config, err, "packages: %v", err)
	}
	return id, nil
}

// unpackAll unpacks wheels into a folder that appears when it is complete.
func (l *library) unpackAll(ctx context.Context, folder string, wheels []Wheel) error {
	part, err := os.MkdirTemp(l.root, ".part-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(part)
	u := unpacking{into: part}
	for _, w := range wheels {
		if err := ctx.Err(); err != nil {
			return err
		}
		content, err := ReadWheel(l.wheels, w)
		if err != nil {
			return err
		}
		if err := u.wheel(content); err != nil {
			return fmt.Errorf("the wheel %s cannot be unpacked: %w", w.File, err)
		}
	}
	if err := os.Chmod(part, 0o755); err != nil { //nolint:gosec // as newLibrary
		return err
	}
	return os.Rename(part, folder)
}

// unpacking counts what the wheels of one list unpack to.
type unpacking struct {
	into  string
	bytes int64
	files int
}

func (u *unpacking) wheel(content []byte) error {
	archive, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return err
	}
	for _, f := range archive.File {
		name, wanted := installed(f.Name)
		if !wanted || f.FileInfo().IsDir() {
			continue
		}
		if !filepath.IsLocal(name) || !f.Mode().IsRegular() {
			return fmt.Errorf("it contains %q, expected regular files below its own directory", f.Name)
		}
		if err := u.file(f, filepath.Join(u.into, name)); err != nil {
			return err
		}
	}
	return nil
}

// installed is where a file of a wheel belongs below the folder of packages: files for purelib and platlib move up, and
// scripts, headers and data are left out.
func installed(name string) (string, bool) {
	first, rest, below := strings.Cut(name, "/")
	if !below || !strings.HasSuffix(first, ".data") {
		return filepath.FromSlash(name), true
	}
	kind, rest, _ := strings.Cut(rest, "/")
	return filepath.FromSlash(rest), kind == "purelib" || kind == "platlib"
}

var errUnpacked = fmt.Errorf("the packages of a script can have at most %d MiB in %d files", unpackedMax>>20, unpackedFiles)

func (u *unpacking) file(f *zip.File, path string) error {
	if u.files++; u.files > unpackedFiles {
		return errUnpacked
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // as newLibrary
		return err
	}
	from, err := f.Open()
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // as newLibrary
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("two packages contain %s", filepath.Base(path))
	}
	if err != nil {
		return err
	}
	n, err := io.Copy(to, io.LimitReader(from, unpackedMax-u.bytes+1))
	if u.bytes += n; err == nil && u.bytes > unpackedMax {
		err = errUnpacked
	}
	return errors.Join(err, to.Close())
}
