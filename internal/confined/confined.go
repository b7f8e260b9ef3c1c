// Package confined reads files that other users may write: regular files of a bounded size, inside of one directory.
//
// A symbolic link is followed as long as it stays inside of the directory, as those of Kubernetes volumes do. A pipe does
// not block the reader, and a device, which may have no end, is not read.
package confined

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

var errNotRegular = errors.New("it is not a regular file")

// Read reads a file by its name relative to a directory. The error has no path: the caller knows it.
func Read(dir, name string, most int) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, reason(err)
	}
	defer root.Close()
	return read(root.OpenFile, name, most)
}

// Open opens a file by its name relative to a directory, for a reader that bounds what it reads, and returns what it is.
// The error has no path.
func Open(dir, name string) (*os.File, fs.FileInfo, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, reason(err)
	}
	defer root.Close()
	return open(root.OpenFile, name)
}

// ReadAnywhere reads a file without a directory around it. It is for files that the operator names.
func ReadAnywhere(path string, most int) ([]byte, error) { return read(os.OpenFile, path, most) }

// opener opens a file as os.OpenFile does.
type opener func(name string, flag int, mode os.FileMode) (*os.File, error)

func open(by opener, name string) (*os.File, fs.FileInfo, error) {
	f, err := by(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, reason(err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNotRegular
	}
	if err != nil {
		_ = f.Close() // it was only looked at
		return nil, nil, reason(err)
	}
	return f, info, nil
}

func read(by opener, name string, most int) ([]byte, error) {
	f, _, err := open(by, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err == nil && len(data) > most {
		err = fmt.Errorf("it is larger than %d bytes", most)
	}
	return data, reason(err)
}

// reason is an error without its path, which may be a secret in the wrong place.
func reason(err error) error {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return at.Err
	}
	return err
}
