package codec

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

const keySize = 32 // AES-256

type key struct {
	id     string
	secret [keySize]byte
}

// keys are the keys of a directory.
type keys struct {
	byID   map[string]key
	newest key // encrypts
}

var keyID = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$`)

// fileMax bounds a key file, in bytes.
const fileMax = 1 << 10

// sameTime is how far the times of files may be apart that were written together, as the kubelet writes those of a mounted
// Secret: one after the other, in any order.
const sameTime = time.Minute

// readKeys reads the key files of a directory: the id of a key is the name of its file. The file that was changed last has
// the newest key; of those that were changed at most sameTime before, and itself, the last in the order of names. Names that
// begin with a dot are left out.
func readKeys(dir string) (keys, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return keys{}, fmt.Errorf("payload keys: %w", err)
	}
	read := keys{byID: map[string]key{}}
	var latest time.Time
	changes := map[string]time.Time{} // by id
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		k, changed, err := readKey(filepath.Join(dir, entry.Name()))
		if err != nil {
			return keys{}, fmt.Errorf("payload keys: %w", err)
		}
		read.byID[k.id], changes[k.id] = k, changed
		if changed.After(latest) {
			latest = changed
		}
	}
	for id, changed := range changes {
		if latest.Sub(changed) <= sameTime && id > read.newest.id {
			read.newest = read.byID[id]
		}
	}
	if len(read.byID) == 0 {
		return keys{}, fmt.Errorf("payload keys: the directory %s does not have a key file: "+
			"create one with \"openssl rand -base64 32\"", dir)
	}
	return read, nil
}

func readKey(path string) (key, time.Time, error) {
	name := filepath.Base(path)
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return key{}, time.Time{}, err
	case !keyID.MatchString(name):
		return key{}, time.Time{}, fmt.Errorf("%s: invalid file name, expected [A-Za-z0-9._-]{1,64}: "+
			"it is the id of the key", path)
	case !info.Mode().IsRegular():
		return key{}, time.Time{}, fmt.Errorf("%s: expected a file with a key", path)
	case info.Size() > fileMax:
		return key{}, time.Time{}, fmt.Errorf("%s: %w", path, errKey)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return key{}, time.Time{}, err
	}
	secret, err := parseKey(text)
	if err != nil {
		return key{}, time.Time{}, fmt.Errorf("%s: %w", path, err)
	}
	return key{id: name, secret: secret}, info.ModTime(), nil
}

var errKey = errors.New(`invalid key, expected 32 random bytes in base64 or hex, as of "openssl rand -base64 32"`)

// parseKey never quotes the text.
func parseKey(text []byte) (secret [keySize]byte, err error) {
	trimmed := string(bytes.TrimSpace(text))
	raw, err := hex.DecodeString(trimmed)
	if err != nil {
		raw, err = base64.StdEncoding.DecodeString(trimmed)
	}
	if err != nil || len(raw) != keySize || secret == [keySize]byte(raw) {
		return secret, errKey
	}
	return [keySize]byte(raw), nil
}
