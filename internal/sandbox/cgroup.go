package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroupLimits bound the sum of what a control group's processes use, the kernel's memory for them included.
type cgroupLimits struct {
	memory int // bytes
	pids   int
	cores  int
}

var limitsOfScript = cgroupLimits{memory: memoryBytes + 64<<20, pids: threads + 8, cores: 1}

// cgroupRoot is where a worker makes a control group for each interpreter: one directory under cgroup v2, one for each
// controller under v1. The nil root makes none.
type cgroupRoot struct {
	dirs    []string // of this worker, one for each hierarchy
	locks   []*os.File
	unified bool
}

// String names what there is, for logs.
func (r *cgroupRoot) String() string {
	switch {
	case r == nil:
		return "none"
	case r.unified:
		return r.dirs[0]
	}
	return "v1: " + strings.Join(controllers, ", ")
}

// cgroups is one interpreter's.
type cgroups []string

const (
	cgroupMount = "/sys/fs/cgroup"
	ownPrefix   = "hookturn-" // of the directories of workers
)

// controllers of cgroup v1 that bound what one script can take from the others.
var controllers = []string{"memory", "pids", "cpu"}

// findCgroups makes the worker's own part of a delegated hierarchy. "": this process's own group of cgroup v2 where that
// is possible, else none. "off": none. "v1": the hierarchies of cgroup v1, which cost a script's start some 10 ms, because
// the kernel waits for all processors each time a process enters a group. Else: a directory of cgroup v2.
func findCgroups(wanted string) (*cgroupRoot, error) {
	own := fmt.Sprintf(ownPrefix+"%d-%d", os.Getpid(), time.Now().UnixNano())
	switch wanted {
	case "off":
		return nil, nil //nolint:nilnil // the nil root makes no groups
	case "":
		if dir := ownCgroup(); dir != "" {
			if r, err := unifiedRoot(dir, own); err == nil {
				return r, nil
			}
		}
		return nil, nil //nolint:nilnil // as above
	case "v1":
		return separateRoot(own)
	}
	return unifiedRoot(wanted, own)
}

// ownCgroup is the cgroup v2 directory of this process, "" when it is on v1.
func ownCgroup() string {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return filepath.Join(cgroupMount, path)
		}
	}
	return ""
}

// unifiedRoot uses a directory of cgroup v2. Its controllers have to be there, and be passed on to the groups made in
// it; a process may not stay in a group that passes them on, so this one moves into a group beside.
func unifiedRoot(dir, own string) (*cgroupRoot, error) {
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return nil, fmt.Errorf("the cgroup %s cannot be used: %w", dir, err)
	}
	for _, controller := range controllers {
		if !slices.Contains(strings.Fields(string(text)), controller) {
			return nil, fmt.Errorf("the cgroup %s does not have the controller %s: delegate memory, pids and cpu", dir, controller)
		}
	}
	if dir == ownCgroup() {
		if err := moveAside(dir); err != nil {
			return nil, err
		}
	}
	r := &cgroupRoot{dirs: []string{filepath.Join(dir, own)}, unified: true}
	if err := writeFile(filepath.Join(dir, "cgroup.subtree_control"), "+memory +pids +cpu"); err != nil {
		return nil, err
	}
	if err := r.claim(r.dirs[0]); err != nil {
		return nil, err
	}
	if err := writeFile(filepath.Join(r.dirs[0], "cgroup.subtree_control"), "+memory +pids +cpu"); err != nil {
		r.remove()
		return nil, err
	}
	return r, nil
}

// moveAside moves this process into a group of its own below its present one, of which it must be the only member.
func moveAside(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs")) //nolint:gosec // the operator names the directory
	if err != nil {
		return fmt.Errorf("read a cgroup: %w", err)
	}
	if own := strconv.Itoa(os.Getpid()); strings.TrimSpace(string(text)) != own {
		return fmt.Errorf("the cgroup %s is not this process's alone", dir)
	}
	leaf := filepath.Join(dir, "worker")
	if err := os.Mkdir(leaf, 0o750); err != nil && !errors.Is(err, os.ErrExist) { //nolint:gosec // as above
		return fmt.Errorf("make a cgroup: %w", err)
	}
	return writeFile(filepath.Join(leaf, "cgroup.procs"), "0")
}

// separateRoot uses the hierarchies of cgroup v1, all of those that bound scripts.
func separateRoot(own string) (*cgroupRoot, error) {
	r := &cgroupRoot{}
	for _, controller := range controllers {
		dir := filepath.Join(cgroupMount, controller, own)
		if err := r.claim(dir); err != nil {
			r.remove()
			return nil, err
		}
		r.dirs = append(r.dirs, dir)
	}
	return r, nil
}

// claim makes a directory of this worker's own and locks it. Those that nobody has locked are of workers that were
// killed.
func (r *cgroupRoot) claim(dir string) error {
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), ownPrefix+"*"))
	for _, old := range left {
		if f, err := lock(old); err == nil {
			removeTree(old)
			_ = f.Close()
		}
	}
	if err := os.Mkdir(dir, 0o750); err != nil {
		return fmt.Errorf("make a cgroup: %w", err)
	}
	f, err := lock(dir)
	if err != nil {
		return fmt.Errorf("lock a cgroup: %w", err)
	}
	r.locks = append(r.locks, f)
	return nil
}

func lock(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// make makes one interpreter's groups with their limits.
func (r *cgroupRoot) make(name string, l cgroupLimits) (cgroups, error) {
	if r == nil {
		return nil, nil
	}
	const period = 100_000
	quota, memory, pids := l.cores*period, strconv.Itoa(l.memory), strconv.Itoa(l.pids)
	values := []map[string]string{
		{"memory.limit_in_bytes": memory},
		{"pids.max": pids},
		{"cpu.cfs_quota_us": strconv.Itoa(quota)},
	}
	if r.unified {
		values = []map[string]string{{
			"memory.max": memory, "pids.max": pids, "cpu.max": fmt.Sprintf("%d %d", quota, period),
		}}
	}
	var made cgroups
	for i, dir := range r.dirs {
		dir = filepath.Join(dir, name)
		if err := os.Mkdir(dir, 0o750); err != nil {
			return nil, fmt.Errorf("make a cgroup: %w", err)
		}
		made = append(made, dir)
		for file, value := range values[i] {
			if err := writeFile(filepath.Join(dir, file), value); err != nil {
				return nil, err
			}
		}
	}
	return made, nil
}

// open gives the files through which a process enters the groups: the kernel asks who opened them.
func (c cgroups) open() ([]*os.File, error) {
	var files []*os.File
	for _, dir := range c {
		f, err := os.OpenFile(filepath.Join(dir, "cgroup.procs"), os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			closeAll(files)
			return nil, fmt.Errorf("open a cgroup: %w", err)
		}
		files = append(files, f)
	}
	return files, nil
}

// remove removes the worker's groups, which must be empty.
func (r *cgroupRoot) remove() {
	if r == nil {
		return
	}
	for _, dir := range r.dirs {
		removeTree(dir)
	}
	closeAll(r.locks)
}

func removeTree(dir string) {
	groups, _ := filepath.Glob(filepath.Join(dir, "script-*"))
	for _, group := range append(groups, dir) {
		_ = os.Remove(group)
	}
}

func writeFile(path, text string) error {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil { //nolint:gosec // the operator names the directory
		return fmt.Errorf("write to a cgroup: %w", err)
	}
	return nil
}
