package sandbox

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hookturn/hookturn/internal/fault"
)

const (
	// libraryMax bounds the bytes of all unpacked lists of wheels.
	libraryMax = 4 * unpackedMax
	// unpackAtOnce is how many lists are unpacked at a time, which are counted when they are complete.
	unpackAtOnce = 2
)

// library holds unpacked wheels below one directory: a folder for each list of wheels. The zygote mounts the directory
// read-only; a process sees only the folder of its own list. Folders that no run uses are removed, the least recently used
// one first, when all have more than a number of bytes. The runs of one tenant use half of it at most.
type library struct {
	wheels    string // directory of the operator; "" = none
	root      string
	most      int64 // bytes
	unpacking chan struct{}

	mu   sync.Mutex
	sets map[string]*packageSet
}

// packageSet is a list of wheels.
type packageSet struct {
	unpacking sync.Mutex

	// The library's mutex guards these.
	ready bool
	bytes int64
	runs  map[string]int // that use it, by tenant
	used  time.Time
}

// newLibrary returns a new library. Its directory is readable for the users of scripts.
func newLibrary(wheels string) (*library, error) {
	l := &library{
		wheels: wheels, most: libraryMax, unpacking: make(chan struct{}, unpackAtOnce), sets: map[string]*packageSet{},
	}
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

// get returns the folder of a list of wheels, in any order, and unpacks them when it is the first to need them; "" = no
// wheels. The folder stays until release is called.
func (l *library) get(ctx context.Context, tenant string, wheels []Wheel) (id string, release func(), f *fault.Fault) {
	switch {
	case len(wheels) == 0:
		return "", func() {}, nil
	case l.wheels == "":
		return "", nil, fault.New(fault.Config, "this worker does not have packages: set --packages to the directory of wheels")
	}
	wheels = slices.SortedFunc(slices.Values(wheels), func(a, b Wheel) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.SHA256, b.SHA256))
	})
	sum := sha256.New()
	for _, w := range wheels {
		fmt.Fprintf(sum, "%s %s\n", w.SHA256, w.File)
	}
	id = hex.EncodeToString(sum.Sum(nil)[:16])
	one, release := l.use(id, tenant)
	err := l.unpack(ctx, one, id, wheels)
	if err != nil {
		release()
		return "", nil, fault.Wrap(fault.Config, err, "packages: %v", err)
	}
	if !l.fits(tenant) {
		release()
		l.fits(tenant)
		return "", nil, fault.New(fault.SandboxUnavailable, "the packages of running scripts fill the room for packages")
	}
	return id, release, nil
}

// use counts a run of a tenant that uses a list of wheels.
func (l *library) use(id, tenant string) (one *packageSet, release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	one = l.sets[id]
	if one == nil {
		one = &packageSet{runs: map[string]int{}}
		l.sets[id] = one
	}
	one.runs[tenant]++
	return one, sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		one.used = time.Now()
		if one.runs[tenant]--; one.runs[tenant] == 0 {
			delete(one.runs, tenant)
		}
		if !one.ready && len(one.runs) == 0 {
			delete(l.sets, id)
		}
	})
}

// unpack unpacks a list of wheels unless it is.
func (l *library) unpack(ctx context.Context, one *packageSet, id string, wheels []Wheel) error {
	one.unpacking.Lock()
	defer one.unpacking.Unlock()
	l.mu.Lock()
	ready := one.ready
	l.mu.Unlock()
	if ready {
		return nil
	}
	select {
	case l.unpacking <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-l.unpacking }()
	bytes, err := l.unpackAll(ctx, filepath.Join(l.root, id), wheels)
	l.mu.Lock()
	defer l.mu.Unlock()
	one.ready, one.bytes = err == nil, bytes
	return err
}

// fits removes folders that no run uses until all fit, and reports whether they do, and those that the runs of a tenant use
// fit into its half.
func (l *library) fits(tenant string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all, ofTenant int64
	var unused []string
	for id, one := range l.sets {
		all += one.bytes
		if one.runs[tenant] > 0 {
			ofTenant += one.bytes
		}
		if len(one.runs) == 0 {
			unused = append(unused, id)
		}
	}
	slices.SortFunc(unused, func(a, b string) int { return l.sets[a].used.Compare(l.sets[b].used) })
	for _, id := range unused {
		if all <= l.most {
			break
		}
		all -= l.sets[id].bytes
		delete(l.sets, id)
		_ = os.RemoveAll(filepath.Join(l.root, id))
	}
	return all <= l.most && ofTenant <= l.most/2
}
