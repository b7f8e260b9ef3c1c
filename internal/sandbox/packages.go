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

	"github.com/hookturn/hookturn/internal/confined"
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

// unpackAll unpacks wheels into a folder that appears when it is complete, and returns the bytes of its files.
func (l *library) unpackAll(ctx context.Context, folder string, wheels []Wheel) (int64, error) {
	part, err := os.MkdirTemp(l.root, ".part-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(part)
	u := unpacking{into: part}
	for _, w := range wheels {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		content, err := ReadWheel(l.wheels, w)
		if err != nil {
			return 0, err
		}
		if err := u.wheel(content); err != nil {
			return 0, fmt.Errorf("the wheel %s cannot be unpacked: %w", w.File, err)
		}
	}
	if err := os.Chmod(part, 0o755); err != nil { //nolint:gosec // as newLibrary
		return 0, err
	}
	return u.bytes, os.Rename(part, folder)
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
