package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/hookturn/hookturn/internal/confined"
)

// Wheels checks the wheels of an operator's directory. It reads each file once, until another file has its name or the file
// has another size or time of change: bot files are loaded again and again, and many of them name the same wheel of up to
// 64 MiB. It is safe for concurrent use.
type Wheels struct {
	dir    string
	digest func(io.Reader) ([sha256.Size]byte, error)

	mu    sync.Mutex
	known map[string]*digested // by the names of files that exist or existed
}

// digested is the digest of a wheel that was read.
type digested struct {
	mu   sync.Mutex
	info fs.FileInfo // nil: nothing was read
	sum  [sha256.Size]byte
}

// NewWheels returns a new check of the wheels of a directory.
func NewWheels(dir string) *Wheels {
	return &Wheels{dir: dir, digest: digestOf, known: map[string]*digested{}}
}

func digestOf(from io.Reader) (sum [sha256.Size]byte, err error) {
	hash := sha256.New()
	_, err = io.Copy(hash, from)
	return [sha256.Size]byte(hash.Sum(nil)), err
}

// Check returns an error when the directory does not have a wheel of this name and content.
func (s *Wheels) Check(w Wheel) error {
	if err := w.CheckName(); err != nil {
		return fmt.Errorf("%s %w", w.File, err)
	}
	f, info, err := confined.Open(s.dir, w.File)
	if err != nil {
		return fmt.Errorf("the wheel %s cannot be read from the directory of packages: %w", w.File, err)
	}
	defer f.Close()
	if info.Size() > WheelMax {
		return fmt.Errorf("the wheel %s has more than %d bytes", w.File, WheelMax)
	}
	sum, err := s.sumOf(w.File, f, info)
	switch {
	case err != nil:
		return fmt.Errorf("the wheel %s cannot be read from the directory of packages: %w", w.File, err)
	case hex.EncodeToString(sum[:]) != w.SHA256:
		return fmt.Errorf("the wheel %s has the SHA-256 %x, expected %s", w.File, sum, w.SHA256)
	}
	return nil
}

// sumOf returns the digest of an open file. Checks of one file wait for the one that reads it.
func (s *Wheels) sumOf(name string, f *os.File, info fs.FileInfo) ([sha256.Size]byte, error) {
	s.mu.Lock()
	d := s.known[name]
	if d == nil {
		d = &digested{}
		s.known[name] = d
	}
	s.mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.info != nil && sameFile(d.info, info) {
		return d.sum, nil
	}
	sum, err := s.digest(io.LimitReader(f, WheelMax+1))
	if err != nil {
		return sum, err
	}
	if now, err := f.Stat(); err == nil && sameFile(now, info) { // it did not change while it was read
		d.info, d.sum = info, sum
	}
	return sum, nil
}

// sameFile reports whether a file is the one that was read, by device, inode, size and time of change.
func sameFile(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
