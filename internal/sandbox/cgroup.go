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

// cgroupLimits bound the resources of all processes of a control group together, kernel memory included.
type cgroupLimits struct {
	memory int // bytes
	pids   int
	cores  int
}

var limitsOfScript = cgroupLimits{memory: memoryBytes + 64<<20, pids: threads + 8, cores: 1}

// cgroupRoot is the parent of the control groups of interpreters: one directory under cgroup v2, one for each controller
// under v1. A nil root has no groups.
type cgroupRoot struct {
	dirs    []string // of this worker, one for each hierarchy
	locks   []*os.File
	unified bool
}

// String returns the directory or the controllers, for logs.
func (r *cgroupRoot) String() string {
	switch {
	case r == nil:
		return "none"
	case r.unified:
		return r.dirs[0]
	}
	return "v1: " + strings.Join(controllers, ", ")
}

// cgroups are the directories of one interpreter.
type cgroups []string

const (
	cgroupMount = "/sys/fs/cgroup"
	ownPrefix   = "hookturn-" // of the directories of workers
)

// controllers of cgroup v1 that limit scripts.
var controllers = []string{"memory", "pids", "cpu"}

// findCgroups creates the worker's part of a delegated hierarchy. "": the cgroup v2 of this process when possible, otherwise
// none. "off": none. "v1": the hierarchies of cgroup v1, which add about 10 ms to the start of a script, because the kernel
// waits for all processors each time a process enters a group. Other values: a directory of cgroup v2.
func findCgroups(wanted string) (*cgroupRoot, error) {
	own := fmt.Sprintf(ownPrefix+"%d-%d", os.Getpid(), time.Now().UnixNano())
	switch wanted {
	case "off":
		return nil, nil //nolint:nilnil // a nil root has no groups
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

// ownCgroup returns the cgroup v2 directory of this process, or "" under v1.
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

// unifiedRoot uses a directory of cgroup v2. It enables the controllers for its child groups; a group with such children
// cannot contain processes, so this process moves into a child group.
func unifiedRoot(dir, own string) (*cgroupRoot, error) {
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return nil, fmt.Errorf("use the cgroup %s: %w", dir, err)
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

// moveAside moves this process into a child of its current group. It must be the only process of that group.
func moveAside(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs")) //nolint:gosec // the operator names the directory
	if err != nil {
		return fmt.Errorf("read a cgroup: %w", err)
	}
	if own := strconv.Itoa(os.Getpid()); strings.TrimSpace(string(text)) != own {
		return fmt.Errorf("the cgroup %s contains other processes: run the worker in a cgroup of its own", dir)
	}
	leaf := filepath.Join(dir, "worker")
	if err := os.Mkdir(leaf, 0o750); err != nil && !errors.Is(err, os.ErrExist) { //nolint:gosec // as above
		return fmt.Errorf("create a cgroup: %w", err)
	}
	return writeFile(filepath.Join(leaf, "cgroup.procs"), "0")
}

// separateRoot uses the hierarchies of cgroup v1, one for each controller.
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

// claim creates a directory for this worker and locks it. It removes directories without a lock, which killed workers left.
func (r *cgroupRoot) claim(dir string) error {
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), ownPrefix+"*"))
	for _, old := range left {
		if f, err := lock(old); err == nil {
			removeTree(old)
			_ = f.Close()
		}
	}
	if err := os.Mkdir(dir, 0o750); err != nil {
		return fmt.Errorf("create a cgroup: %w", err)
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

// make creates the groups of one interpreter with their limits.
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
			return nil, fmt.Errorf("create a cgroup: %w", err)
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

// open returns the files through which a process enters the groups: the kernel checks the permissions of the opener.
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
