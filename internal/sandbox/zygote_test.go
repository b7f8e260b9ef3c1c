package sandbox

import (
	"encoding/json"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/hookturn/hookturn/internal/fault"
)

// TestZygote_ManyAtOnce starts and ends processes at the same time: none gets what belongs to another, a descriptor with the
// same number least of all.
func TestZygote_ManyAtOnce(t *testing.T) {
	s := newSandbox(t)
	var busy sync.WaitGroup
	for range 8 {
		busy.Go(func() {
			for range 40 {
				if r, f := s.Run(t.Context(), job("def main(e, c): return 1")); f != nil {
					t.Error(f, r.Log)
				}
			}
		})
	}
	busy.Wait()
}

// TestZygote_ProcessesDiffer runs a script in several processes of one zygote: each has random numbers of its own, from
// Python, from OpenSSL and from the kernel, although all have the same process id.
func TestZygote_ProcessesDiffer(t *testing.T) {
	s := newSandbox(t)
	seen := map[string]bool{}
	const runs, numbers = 6, 5
	for range runs {
		r, f := s.Run(t.Context(), job(`
import os, random, secrets, ssl, uuid
def main(event, context):
    return [str(random.random()), ssl.RAND_bytes(8).hex(), os.urandom(8).hex(), str(uuid.uuid4()), secrets.token_hex(8)]
`))
		require.Nil(t, f, r.Log)
		var values []string
		require.NoError(t, json.Unmarshal(r.Value, &values))
		for _, v := range values {
			seen[v] = true
		}
	}
	require.Len(t, seen, runs*numbers)
}

// TestZygote_LibraryKnowsThread compares the id of the main thread with the one that the C library keeps, by which it signals
// threads and finds the owners of locks. The library names the clock of a thread by it.
func TestZygote_LibraryKnowsThread(t *testing.T) {
	s := newSandbox(t)
	r, f := s.Run(t.Context(), job(`
import threading, time
def main(event, context):
    return [threading.get_native_id(), ~(time.pthread_getcpuclockid(threading.get_ident()) >> 3)]
`))
	require.Nil(t, f, r.Log)
	require.JSONEq(t, "[1, 1]", string(r.Value))
}

// TestZygote_KillsOnClose runs a script that sleeps longer than its timeout: its process ends, and its place is free again.
func TestZygote_KillsOnClose(t *testing.T) {
	s := newSandbox(t, func(o *Options) { o.Warm, o.Concurrency = 1, 1 })
	j := job("import time\ndef main(e, c): time.sleep(3600)")
	j.Timeout = 100 * time.Millisecond
	_, f := s.Run(t.Context(), j)
	require.Equal(t, fault.ScriptTimeout, f.Kind)
	require.Eventually(t, func() bool { return len(s.places.free) >= cap(s.places.free)-cap(s.warm)-1 }, time.Minute,
		10*time.Millisecond, "all but one that waits in the queue and one that waits for the queue")
}

// TestZygote_ReportsFailedStart starts a process whose packages do not exist, beside one that goes on.
func TestZygote_ReportsFailedStart(t *testing.T) {
	s, err := prepare(Options{Cgroup: "off", Warm: 1})
	require.NoError(t, err)
	s.start()
	t.Cleanup(s.Close)
	neighbour, err := s.spawn(t.Context(), "")
	require.NoError(t, err)
	defer neighbour.close()
	at, err := s.places.take()
	require.NoError(t, err)
	gone := make(chan struct{})
	broken, err := neighbour.zygote.ask(at, "missing", func() { close(gone) })
	require.NoError(t, err)
	require.ErrorContains(t, broken.awaitReady(t.Context()), "mount: No such file or directory")
	broken.close()
	select {
	case <-gone:
	case <-time.After(time.Minute):
		require.Fail(t, "the process did not end")
	}
	r, f := neighbour.run(t.Context(), job("def main(e, c): return 1"), s.options)
	require.Nil(t, f, r.Log)
	require.Equal(t, "1", string(r.Value))
}

// TestZygote_DescriptorsComeAgain runs testdata/events.py: in one round of the event loop a process ends, another one gets its
// descriptors, and an event of the first one is left.
func TestZygote_DescriptorsComeAgain(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "python3", "-B", "testdata/events.py").CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, "True\n", string(out))
}

// TestZygote_CountOfThreads: the kernel counts the tasks of a script's user, and the main thread is the only one besides those
// that the script starts.
func TestZygote_CountOfThreads(t *testing.T) {
	s := newSandbox(t)
	r, f := s.Run(t.Context(), job(`
import resource, threading, time
def main(event, context):
    started = 0
    try:
        while started < 40:
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
            started += 1
    except RuntimeError:
        pass
    return [started, *resource.getrlimit(resource.RLIMIT_NPROC)]
`))
	require.Nil(t, f, r.Log)
	require.JSONEq(t, "[16, 17, 17]", string(r.Value))
}

// TestZygote_KernelWithoutThreadAddress starts a sandbox where PR_GET_TID_ADDRESS fails as it does on a kernel without
// CONFIG_CHECKPOINT_RESTORE.
func TestZygote_KernelWithoutThreadAddress(t *testing.T) {
	if os.Getenv("HOOKTURN_SANDBOX_KERNEL") != "" {
		runtime.LockOSThread() // the zygote is started from this thread
		require.NoError(t, unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		loadFilter(t, append(append([]bpf.Instruction{bpf.LoadAbsolute{Off: dataNumber, Size: 4}},
			when(unix.SYS_PRCTL, append(append([]bpf.Instruction{bpf.LoadAbsolute{Off: dataArg0, Size: 4}},
				when(unix.PR_GET_TID_ADDRESS, bpf.RetConstant{Val: seccompErrno | uint32(unix.EINVAL)})...),
				bpf.RetConstant{Val: seccompAllow})...)...),
			bpf.RetConstant{Val: seccompAllow}))
		_, err := New(t.Context(), Options{Cgroup: "off"})
		require.ErrorIs(t, err, ErrUnavailable)
		require.EqualError(t, err, "code steps are not available: zygote did not become ready: "+
			"the kernel does not have PR_GET_TID_ADDRESS: use one with CONFIG_CHECKPOINT_RESTORE")
		return
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestZygote_KernelWithoutThreadAddress$", "-test.v")
	child.Env = append(os.Environ(), "HOOKTURN_SANDBOX_KERNEL=1")
	out, err := child.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "--- PASS: TestZygote_KernelWithoutThreadAddress")
}
