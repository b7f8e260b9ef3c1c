package sandbox

import (
	"encoding/json"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// profile is a seccomp profile of a container.
type profile struct {
	DefaultAction string `json:"defaultAction"`
	Syscalls      []struct {
		Names  []string          `json:"names"`
		Action string            `json:"action"`
		Args   []json.RawMessage `json:"args"`
	} `json:"syscalls"`
}

func readProfile(t *testing.T) profile {
	t.Helper()
	text, err := os.ReadFile("../../deploy/seccomp-code.json")
	require.NoError(t, err)
	var p profile
	require.NoError(t, json.Unmarshal(text, &p))
	return p
}

// allows are the calls that the profile allows, whatever their arguments, or for some.
func (p profile) allows() (names []string) {
	for _, rule := range p.Syscalls {
		if rule.Action == "SCMP_ACT_ALLOW" {
			names = append(names, rule.Names...)
		}
	}
	return names
}

// TestContainerProfile_Narrow holds the profile against what it must not allow.
func TestContainerProfile_Narrow(t *testing.T) {
	t.Parallel()
	p := readProfile(t)
	require.Equal(t, "SCMP_ACT_ERRNO", p.DefaultAction)
	for _, name := range []string{
		"bpf", "perf_event_open", "ptrace", "process_vm_readv", "process_vm_writev", "keyctl", "add_key", "request_key",
		"io_uring_setup", "userfaultfd", "open_by_handle_at", "init_module", "finit_module", "delete_module", "kexec_load",
		"kexec_file_load", "reboot", "swapon", "acct", "settimeofday", "clock_settime", "setns", "open_tree", "move_mount",
		"fsopen", "mount_setattr", "personality", "iopl", "ioperm", "pidfd_getfd", "clone3",
	} {
		require.NotContains(t, p.allows(), name)
	}
}

// TestContainerProfile_Suffices starts a worker's sandbox as the container of docker-compose.yml does: under the
// profile, without new privileges, and with three capabilities. The kernel runs the profile.
func TestContainerProfile_Suffices(t *testing.T) {
	if os.Getenv("HOOKTURN_SANDBOX_PROFILE") != "" {
		applyProfile(t)
		s := newSandbox(t, func(o *Options) { o.Concurrency, o.Warm = 2, 1 })
		r, f := s.Run(t.Context(), job("import asyncio, threading\ndef main(e, c): return asyncio.run(asyncio.to_thread(sum, [1, 2]))"))
		require.Nil(t, f, r.Log)
		require.Equal(t, "3", string(r.Value))
		return
	}
	child := exec.Command(os.Args[0], "-test.run=^TestContainerProfile_Suffices$", "-test.v")
	child.Env = append(os.Environ(), "HOOKTURN_SANDBOX_PROFILE=1")
	out, err := child.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "--- PASS: TestContainerProfile_Suffices")
}

// applyProfile puts this thread, from which the zygote is started, under the profile, and takes away what the container
// does not have.
func applyProfile(t *testing.T) {
	t.Helper()
	numbers := systemCalls(t, runtime.GOARCH)
	runtime.LockOSThread()
	kept := []uintptr{unix.CAP_SETUID, unix.CAP_SETGID, unix.CAP_KILL}
	var mask uint32
	for _, capability := range kept {
		mask |= 1 << capability
	}
	for capability := range uintptr(unix.CAP_LAST_CAP + 1) {
		if !slices.Contains(kept, capability) {
			require.NoError(t, unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0))
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{{Effective: mask, Permitted: mask}}
	require.NoError(t, unix.Capset(&header, &data[0]))
	require.NoError(t, unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))

	program := []bpf.Instruction{bpf.LoadAbsolute{Off: dataNumber, Size: 4}}
	for _, name := range readProfile(t).allows() {
		if number, known := numbers["SYS_"+strings.ToUpper(name)]; known {
			program = append(program, when(number, bpf.RetConstant{Val: seccompAllow})...)
		}
	}
	program = append(program, when(numbers["SYS_CLONE3"], bpf.RetConstant{Val: uint32(enosys)})...)
	loadFilter(t, append(program, bpf.RetConstant{Val: notPermitted}))
}

// loadFilter puts this thread under a seccomp filter, and what is started from it.
func loadFilter(t *testing.T, program []bpf.Instruction) {
	t.Helper()
	raw, err := bpf.Assemble(program)
	require.NoError(t, err)
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	loaded := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&loaded)))
	require.Zero(t, errno)
}
