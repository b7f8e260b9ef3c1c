package sandbox

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
)

// writeWheel writes a wheel into a directory.
func writeWheel(t *testing.T, dir, name string, files map[string]string) Wheel {
	t.Helper()
	var text bytes.Buffer
	archive := zip.NewWriter(&text)
	for path, content := range files {
		w, err := archive.Create(path)
		require.NoError(t, err)
		_, err = w.Write([]byte(content))
		require.NoError(t, err)
	}
	require.NoError(t, archive.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), text.Bytes(), 0o600))
	sum := sha256.Sum256(text.Bytes())
	return Wheel{File: name, SHA256: hex.EncodeToString(sum[:])}
}

const importToy = `
import importlib.metadata, os, sys
def main(event, context):
    import toy
    try:
        open(toy.__file__, "a")
        writable = True
    except OSError:
        writable = False
    try:
        others = os.listdir("/packages")
    except OSError:
        others = []
    return [toy.NAME, toy.__file__, importlib.metadata.version("toy"), writable, others, sorted(os.listdir("/site"))]
`

func toyWheel(t *testing.T, dir, version, value string) Wheel {
	t.Helper()
	return writeWheel(t, dir, "toy-"+version+"-py3-none-any.whl", map[string]string{
		"toy/__init__.py":                                 "NAME = " + value,
		"toy-" + version + ".dist-info/METADATA":          "Metadata-Version: 2.1\nName: toy\nVersion: " + version + "\n",
		"toy-" + version + ".data/purelib/toy_extra.py":   "",
		"toy-" + version + ".data/scripts/toy-program.sh": "",
	})
}

func TestPackages_EachBotItsOwn(t *testing.T) {
	dir := t.TempDir()
	one, two := toyWheel(t, dir, "1.0", "'one'"), toyWheel(t, dir, "2.0", "'two'")
	s := newSandbox(t, func(o *Options) { o.Packages = dir })
	for version, w := range map[string]Wheel{"1.0": one, "2.0": two} {
		j := job(importToy)
		j.Packages = []Wheel{w}
		r, f := s.Run(t.Context(), j)
		require.Nil(t, f, r.Log)
		name := map[string]string{"1.0": "one", "2.0": "two"}[version]
		require.JSONEq(t, `["`+name+`","/site/toy/__init__.py","`+version+`",false,[],["toy","toy-`+version+`.dist-info","toy_extra.py"]]`,
			string(r.Value))
	}
	r, f := s.Run(t.Context(), job(importToy))
	require.NotNil(t, f, "%s", r.Value)
	require.Contains(t, f.Message, "No module named 'toy'")
}

func TestPackages_Problems(t *testing.T) {
	dir := t.TempDir()
	good := toyWheel(t, dir, "1.0", "1")
	out := writeWheel(t, dir, "out-1-py3-none-any.whl", map[string]string{"../../out.py": "x"})
	same := writeWheel(t, dir, "same-1-py3-none-any.whl", map[string]string{"toy/__init__.py": "NAME = 2"})
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bad-1-py3-none-any.whl"), []byte("no zip"), 0o600))
	sum := sha256.Sum256([]byte("no zip"))
	bad := Wheel{"bad-1-py3-none-any.whl", hex.EncodeToString(sum[:])}
	cases := map[string]struct {
		wheels []Wheel
		want   string
	}{
		"another hash":   {[]Wheel{{good.File, bad.SHA256}}, "expected " + bad.SHA256},
		"absent":         {[]Wheel{{"none-1-py3-none-any.whl", good.SHA256}}, "cannot be read from the directory of packages"},
		"a path":         {[]Wheel{{"../" + good.File, good.SHA256}}, "is not the name of a wheel"},
		"not a zip":      {[]Wheel{bad}, "cannot be unpacked"},
		"outside":        {[]Wheel{out}, "expected regular files below its own directory"},
		"the same files": {[]Wheel{good, same}, "two packages contain __init__.py"},
	}
	s := newSandbox(t, func(o *Options) { o.Packages, o.Warm = dir, 1 })
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			j := job("def main(event, context): return 1")
			j.Packages = c.wheels
			r, f := s.Run(t.Context(), j)
			require.NotNil(t, f)
			require.Equal(t, fault.Config, f.Kind)
			require.False(t, r.Sent)
			require.Contains(t, f.Message, c.want)
		})
	}
	none := newSandbox(t, func(o *Options) { o.Warm = 1 })
	j := job("def main(event, context): return 1")
	j.Packages = []Wheel{good}
	_, f := none.Run(t.Context(), j)
	require.Equal(t, fault.Config, f.Kind)
	require.Contains(t, f.Message, "--packages")
}

// TestLibrary_Bounded: lists in another order have one folder, and folders that no run uses are removed when all have more
// than the bound. Runs of one tenant use half of it.
func TestLibrary_Bounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := newLibrary(dir)
	require.NoError(t, err)
	t.Cleanup(l.close)
	l.most = 4 << 10
	var wheels []Wheel
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		wheels = append(wheels, writeWheel(t, dir, name+"-1-py3-none-any.whl", map[string]string{
			name + "/__init__.py": string(bytes.Repeat([]byte("#"), 1<<10)),
		}))
	}
	get := func(tenant string, of ...Wheel) (string, func()) {
		id, release, f := l.get(t.Context(), tenant, of)
		require.Nil(t, f)
		return id, release
	}
	one, release := get("acme", wheels[0], wheels[1])
	other, again := get("acme", wheels[1], wheels[0])
	require.Equal(t, one, other)
	release()
	_, _, f := l.get(t.Context(), "acme", wheels[2:3])
	require.NotNil(t, f, "more than the tenant's half is in use")
	require.Equal(t, fault.SandboxUnavailable, f.Kind)
	for n := range wheels[2:] {
		_, release := get("globex", wheels[2+n])
		release()
	}
	folders := func() int {
		entries, err := os.ReadDir(l.root)
		require.NoError(t, err)
		return len(entries)
	}
	require.Equal(t, 3, folders(), "the least recently used one is removed, and not the one that a run uses")
	require.DirExists(t, filepath.Join(l.root, one))
	require.NoDirExists(t, filepath.Join(l.root, l.idOf(t, wheels[2])))
	again()
	for n := range 2 {
		_, release = get("globex", wheels[2+n], wheels[3+n])
		release()
	}
	require.NoDirExists(t, filepath.Join(l.root, one), "unused now")
}

// idOf returns the folder of a list that is not used.
func (l *library) idOf(t *testing.T, w Wheel) string {
	t.Helper()
	sum := sha256.Sum256([]byte(w.SHA256 + " " + w.File + "\n"))
	return hex.EncodeToString(sum[:16])
}
