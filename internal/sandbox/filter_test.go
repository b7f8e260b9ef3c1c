package sandbox

import (
	"encoding/binary"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	eperm  = seccompErrno | int(unix.EPERM)
	enosys = seccompErrno | int(unix.ENOSYS)
)

// TestFilter_Machines runs the filter of every machine over calls that the kernel would show it. The tables are read
// from the sources, so that the machines on which no test runs are tested as well.
func TestFilter_Machines(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]struct {
		arch  uint32
		files []string
	}{
		"amd64": {0xc000003e, []string{"filter_linux.go", "filter_linux_amd64.go"}},
		"arm64": {0xc00000b7, []string{"filter_linux.go", "filter_linux_arm64.go"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			numbers := systemCalls(t, name)
			built := machine{arch: m.arch, calls: checkedCalls{
				socket: numbers["SYS_SOCKET"], clone: numbers["SYS_CLONE"], clone3: numbers["SYS_CLONE3"],
				fcntl: numbers["SYS_FCNTL"], setsockopt: numbers["SYS_SETSOCKOPT"],
			}}
			for _, file := range m.files {
				built.allowed = append(built.allowed, namesIn(t, file, numbers, "allowed", "allowedHere")...)
				built.killing = append(built.killing, namesIn(t, file, numbers, "killing")...)
			}
			require.GreaterOrEqual(t, len(built.allowed), 110)
			require.GreaterOrEqual(t, len(built.killing), 40)
			checkFilter(t, built, numbers)
		})
	}
}

// TestFilter_ThisMachine holds the tables of this build against those that the test reads.
func TestFilter_ThisMachine(t *testing.T) {
	t.Parallel()
	m := thisMachine()
	for _, number := range m.allowed {
		require.NotContains(t, m.killing, number)
	}
	run := vmOf(t, m)
	require.Equal(t, seccompAllow, run(m.arch, unix.SYS_READ))
	require.Equal(t, eperm, run(m.arch, unix.SYS_SOCKET, unix.AF_UNIX, unix.SOCK_STREAM, 0))
	require.Equal(t, eperm, run(m.arch, unix.SYS_SOCKETPAIR, unix.AF_UNIX, unix.SOCK_STREAM, 0))
}

func checkFilter(t *testing.T, m machine, numbers map[string]uint32) {
	t.Helper()
	run := vmOf(t, m)
	const nonblock, cloexec = 0x800, 0x80000
	for _, c := range []struct {
		call string
		args []uint32
		want int
	}{
		{"SYS_READ", nil, seccompAllow},
		{"SYS_OPENAT", nil, seccompAllow},
		{"SYS_EXECVE", nil, eperm},
		{"SYS_EXECVEAT", nil, eperm},
		{"SYS_SOCKETPAIR", []uint32{unix.AF_UNIX, unix.SOCK_STREAM, 0}, eperm},
		{"SYS_SOCKETPAIR", []uint32{unix.AF_INET, unix.SOCK_STREAM, 0}, eperm},
		{"SYS_INOTIFY_INIT1", nil, eperm},
		{"SYS_MQ_OPEN", nil, eperm},
		{"SYS_MEMFD_CREATE", nil, eperm},
		{"SYS_SHMGET", nil, eperm},
		{"SYS_SETSID", nil, eperm},
		{"SYS_KEYCTL", nil, seccompKill},
		{"SYS_PTRACE", nil, seccompKill},
		{"SYS_UNSHARE", nil, seccompKill},
		{"SYS_IO_URING_SETUP", nil, seccompKill},
		{"SYS_CLONE3", nil, enosys},
		{"SYS_CLONE", []uint32{17}, eperm},
		{"SYS_CLONE", []uint32{cloneThread | 0x100}, seccompAllow},
		{"SYS_SOCKET", []uint32{unix.AF_INET, unix.SOCK_STREAM, 0}, seccompAllow},
		{"SYS_SOCKET", []uint32{unix.AF_INET, unix.SOCK_STREAM | nonblock | cloexec, unix.IPPROTO_TCP}, seccompAllow},
		{"SYS_SOCKET", []uint32{unix.AF_INET6, unix.SOCK_STREAM, unix.IPPROTO_TCP}, seccompAllow},
		{"SYS_SOCKET", []uint32{unix.AF_INET, unix.SOCK_DGRAM, 0}, seccompAllow},
		{"SYS_SOCKET", []uint32{unix.AF_INET6, unix.SOCK_DGRAM | cloexec, unix.IPPROTO_UDP}, seccompAllow},
		{"SYS_SOCKET", []uint32{unix.AF_INET, unix.SOCK_STREAM, 262}, eperm},    // MPTCP
		{"SYS_SOCKET", []uint32{unix.AF_INET6, unix.SOCK_STREAM, 262}, eperm},   // MPTCP
		{"SYS_SOCKET", []uint32{unix.AF_INET, unix.SOCK_DGRAM, 136}, eperm},     // UDP-Lite
		{"SYS_SOCKET", []uint32{unix.AF_INET, unix.SOCK_DGRAM, 1}, eperm},       // ICMP
		{"SYS_SOCKET", []uint32{unix.AF_INET, unix.SOCK_STREAM, 132}, eperm},    // SCTP
		{"SYS_SOCKET", []uint32{unix.AF_INET, unix.SOCK_SEQPACKET, 132}, eperm}, // SCTP
		{"SYS_SOCKET", []uint32{unix.AF_INET, unix.SOCK_RAW, 0}, eperm},
		{"SYS_SOCKET", []uint32{unix.AF_INET, unix.SOCK_DCCP, 0}, eperm},
		{"SYS_SOCKET", []uint32{unix.AF_UNIX, unix.SOCK_STREAM, 0}, eperm},
		{"SYS_SOCKET", []uint32{unix.AF_UNIX, unix.SOCK_DGRAM, 0}, eperm},
		{"SYS_SOCKET", []uint32{unix.AF_NETLINK, unix.SOCK_RAW, 0}, eperm},
		{"SYS_SOCKET", []uint32{unix.AF_PACKET, unix.SOCK_RAW, 0}, eperm},
		{"SYS_SOCKET", []uint32{unix.AF_VSOCK, unix.SOCK_STREAM, 0}, eperm},
		{"SYS_SOCKET", []uint32{38, unix.SOCK_SEQPACKET, 0}, eperm}, // AF_ALG
		{"SYS_FCNTL", []uint32{3, unix.F_GETFL}, seccompAllow},
		{"SYS_FCNTL", []uint32{3, unix.F_SETPIPE_SZ}, eperm},
		{"SYS_FCNTL", []uint32{3, unix.F_NOTIFY}, eperm},
		{"SYS_SETSOCKOPT", []uint32{3, unix.SOL_TCP, unix.TCP_NODELAY}, seccompAllow},
		{"SYS_SETSOCKOPT", []uint32{3, unix.SOL_SOCKET, unix.SO_REUSEADDR}, seccompAllow},
		{"SYS_SETSOCKOPT", []uint32{3, unix.SOL_TCP, unix.TCP_ULP}, eperm},
		{"SYS_SETSOCKOPT", []uint32{3, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER}, eperm},
	} {
		number, known := numbers[c.call]
		require.True(t, known, "the machine does not have %s", c.call)
		require.Equal(t, c.want, run(m.arch, append([]uint32{number}, c.args...)...), "%s %v", c.call, c.args)
	}
	require.Equal(t, seccompKill, run(0x40000003, numbers["SYS_READ"]), "calls of another machine")
	require.Equal(t, eperm, run(m.arch, 100_000), "an unknown call")
}

// vmOf runs a machine's filter: the arguments are the machine, the number of the call and the call's arguments.
func vmOf(t *testing.T, m machine) func(arch uint32, call ...uint32) int {
	t.Helper()
	program := m.filter()
	_, err := assemble(program)
	require.NoError(t, err)
	vm, err := bpf.NewVM(program)
	require.NoError(t, err)
	return func(arch uint32, call ...uint32) int {
		data := make([]byte, 64) // struct seccomp_data, in the byte order of the VM
		binary.BigEndian.PutUint32(data[dataNumber:], call[0])
		binary.BigEndian.PutUint32(data[dataArch:], arch)
		for i, arg := range call[1:] {
			binary.BigEndian.PutUint32(data[dataArg0+8*i:], arg)
		}
		result, err := vm.Run(data)
		require.NoError(t, err)
		return result
	}
}

// systemCalls are the numbers of a machine's calls, as golang.org/x/sys has them.
func systemCalls(t *testing.T, arch string) map[string]uint32 {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/sys").Output()
	require.NoError(t, err)
	file := filepath.Join(strings.TrimSpace(string(dir)), "unix", "zsysnum_linux_"+arch+".go")
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	require.NoError(t, err)
	numbers := map[string]uint32{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if literal, ok := spec.Values[0].(*ast.BasicLit); ok {
			number, err := strconv.ParseUint(literal.Value, 0, 32)
			require.NoError(t, err)
			numbers[spec.Names[0].Name] = uint32(number)
		}
		return true
	})
	require.Greater(t, len(numbers), 250)
	return numbers
}

// namesIn are the numbers of the calls that a file's variables name.
func namesIn(t *testing.T, file string, numbers map[string]uint32, variables ...string) (found []uint32) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	require.NoError(t, err)
	for _, variable := range variables {
		object := parsed.Scope.Lookup(variable)
		if object == nil {
			continue
		}
		ast.Inspect(object.Decl.(ast.Node), func(n ast.Node) bool {
			if selector, ok := n.(*ast.SelectorExpr); ok && strings.HasPrefix(selector.Sel.Name, "SYS_") {
				number, known := numbers[selector.Sel.Name]
				require.True(t, known, "%s is not a call of this machine", selector.Sel.Name)
				found = append(found, number)
			}
			return true
		})
	}
	return found
}
