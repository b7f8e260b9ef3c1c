package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseUsers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Users{"": {}, "1000-1999": {1000, 1000}, "7-7": {7, 1}} {
		got, err := ParseUsers(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"1", "-", "1-", "-5", "0-10", "5-4", "a-b", "1-4294967296", "1-2147483648", "1 - 2"} {
		_, err := ParseUsers(text)
		require.ErrorContains(t, err, "invalid range of user ids", text)
	}
	require.Equal(t, "1000-1999", Users{1000, 1000}.String())
}

func TestUsers_Block(t *testing.T) {
	t.Parallel()
	starts := map[uint32]bool{}
	for range 50 {
		block, err := DefaultUsers.block(100)
		require.NoError(t, err)
		require.Equal(t, uint32(100), block.Count)
		require.GreaterOrEqual(t, block.First, DefaultUsers.First)
		require.LessOrEqual(t, block.First+block.Count, DefaultUsers.First+DefaultUsers.Count)
		starts[block.First] = true
	}
	require.Greater(t, len(starts), 40, "workers that know nothing of each other take different users")
	block, err := Users{500, 10}.block(10)
	require.NoError(t, err)
	require.Equal(t, Users{500, 10}, block)
	_, err = Users{500, 10}.block(11)
	require.ErrorContains(t, err, "holds 10 ids, this worker needs 11")
}

func TestUsers_Within(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		uidMap string
		want   Users
	}{
		"a machine":            {"         0          0 4294967295\n", DefaultUsers},
		"a remapped container": {"         0     231072      65536\n", Users{32768, 32768}},
		"several ranges":       {"0 1000 1\n1 100000 60000\n", Users{30001, 30000}},
		"one user":             {"0 1000 1\n", Users{0, 1}},
		"nothing":              {"", Users{}},
	} {
		require.Equal(t, c.want, DefaultUsers.within([]byte(c.uidMap)), name)
	}
}

// usersOf counts the processes of each host user.
func usersOf(t *testing.T, pids []int) map[string]int {
	t.Helper()
	seen := map[string]int{}
	for _, pid := range pids {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(status)) {
			if ids, ok := strings.CutPrefix(line, "Uid:"); ok {
				seen[strings.Fields(ids)[1]]++
			}
		}
	}
	return seen
}

// TestUsers_OneForEachScript looks from outside at who the scripts are that run at a time.
func TestUsers_OneForEachScript(t *testing.T) {
	g := newGathering(t)
	users := Users{First: 1_234_000_000, Count: 100}
	s := newSandbox(t, g.dial, func(o *Options) { o.Users, o.Concurrency, o.Warm = users, 8, 2 })
	var busy sync.WaitGroup
	var visitors []*visitor
	for range 4 {
		busy.Go(func() {
			_, f := s.Run(t.Context(), job(hoarding+"    control.sendall(b'here')\n    assert control.recv(100) == b'go on'\n"))
			if f != nil {
				t.Error(f)
			}
		})
		visitors = append(visitors, g.await(t))
	}
	var seen map[string]int
	require.Eventually(t, func() bool { // the two that wait may still be starting
		seen = usersOf(t, descendants(t, os.Getpid()))
		delete(seen, fmt.Sprint(s.places.users.First)) // bubblewrap and the zygote
		return len(seen) >= 4+2
	}, time.Minute, 20*time.Millisecond, "four that run, two that wait: %v", seen)
	for _, v := range visitors {
		v.goOn()
	}
	busy.Wait()
	for user, count := range seen {
		var id uint32
		_, err := fmt.Sscan(user, &id)
		require.NoError(t, err)
		require.GreaterOrEqual(t, id, users.First)
		require.Less(t, id, users.First+users.Count)
		require.Equal(t, 1, count, "a user for each: %v", seen)
	}
}

// TestPlaces_ComeBack runs more scripts than there are places.
func TestPlaces_ComeBack(t *testing.T) {
	s := newSandbox(t, func(o *Options) { o.Concurrency, o.Warm = 2, 1 })
	for range 3 * cap(s.places.free) {
		_, f := s.Run(t.Context(), job("def main(e, c): return 1"))
		require.Nil(t, f)
	}
	require.Eventually(t, func() bool { return len(s.places.free) == cap(s.places.free)-cap(s.warm)-1 }, time.Minute,
		10*time.Millisecond, "all but those that wait for a job")
}

// TestCgroup_Delegated runs scripts with a directory that looks like a delegated cgroup v2: each enters a group of its
// own.
func TestCgroup_Delegated(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cgroup.controllers"), []byte("cpuset cpu io memory pids\n"), 0o600))
	s := newSandbox(t, func(o *Options) { o.Cgroup, o.Concurrency, o.Warm = dir, 1, 1 })
	_, f := s.Run(t.Context(), job("def main(e, c): return 1"))
	require.Nil(t, f)
	passed, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
	require.NoError(t, err)
	require.Equal(t, "+memory +pids +cpu", string(passed))
	group := filepath.Join(s.places.root.dirs[0], "script-1")
	for file, want := range map[string]string{
		"memory.max": fmt.Sprint(576 << 20), "pids.max": "24", "cpu.max": "100000 100000", "cgroup.procs": "0",
	} {
		text, err := os.ReadFile(filepath.Join(group, file))
		require.NoError(t, err)
		require.Equal(t, want, string(text), file)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cgroup.controllers"), []byte("cpu pids\n"), 0o600))
	_, err = New(t.Context(), Options{Cgroup: dir})
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorContains(t, err, "does not have the controller memory")
}

// TestCgroup_Separate uses the hierarchies of cgroup v1, where this machine has them: a script that runs is in its group of
// each. Elsewhere the worker does not start when it is asked for them.
func TestCgroup_Separate(t *testing.T) {
	g := newGathering(t)
	o := Options{Cgroup: "v1", Concurrency: 1, Warm: 1}
	g.dial(&o)
	s, err := New(t.Context(), o)
	if _, missing := os.Stat(filepath.Join(cgroupMount, "memory", "cgroup.procs")); missing != nil {
		require.ErrorIs(t, err, ErrUnavailable)
		return
	}
	require.NoError(t, err)
	t.Cleanup(s.Close)
	var busy sync.WaitGroup
	busy.Go(func() {
		_, _ = s.Run(t.Context(), job(hoarding+"    control.sendall(b'here')\n    control.recv(100)\n"))
	})
	v := g.await(t)
	require.Len(t, s.places.root.dirs, len(controllers))
	for _, dir := range s.places.root.dirs {
		members, err := filepath.Glob(filepath.Join(dir, "script-*", "cgroup.procs"))
		require.NoError(t, err)
		inside := 0
		for _, file := range members {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			inside += len(strings.Fields(string(text)))
		}
		require.Positive(t, inside, dir)
	}
	v.goOn()
	busy.Wait()
}
