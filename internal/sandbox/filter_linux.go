package sandbox

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Actions of the filter.
const (
	seccompAllow = 0x7fff0000
	seccompKill  = 0x80000000 // the process, by SIGSYS
	seccompErrno = 0x00050000 // the call fails with the number in the lower bits
)

// Offsets in struct seccomp_data.
const (
	dataNumber = 0
	dataArch   = 4
	dataArg0   = 16 // the lower half; all supported machines are little-endian
	dataArg1   = 24
	dataArg2   = 32
)

// machine holds the system calls of a processor architecture.
type machine struct {
	arch             uint32
	allowed, killing []uint32
	foreign          []bpf.Instruction // instructions before the checks of calls
	calls            checkedCalls
}

// checkedCalls are system calls of which only some arguments are allowed.
type checkedCalls struct{ socket, clone, clone3, fcntl, setsockopt uint32 }

// thisMachine returns the architecture that this program was built for.
func thisMachine() machine {
	return machine{
		arch: auditArch, allowed: allowed, killing: killing, foreign: foreign(notPermitted),
		calls: checkedCalls{
			socket: unix.SYS_SOCKET, clone: unix.SYS_CLONE, clone3: unix.SYS_CLONE3, fcntl: unix.SYS_FCNTL,
			setsockopt: unix.SYS_SETSOCKOPT,
		},
	}
}

// allowed are the calls that Python needs to compute, to use its files below /tmp and to talk to the proxy. Everything
// else fails with "operation not permitted", or kills when only an attack makes it.
var allowed = append([]uint32{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_PREAD64, unix.SYS_PWRITE64, unix.SYS_CLOSE,
	unix.SYS_FSTAT, unix.SYS_LSEEK, unix.SYS_MMAP, unix.SYS_MPROTECT, unix.SYS_MUNMAP, unix.SYS_BRK, unix.SYS_MREMAP,
	unix.SYS_MADVISE, unix.SYS_FUTEX, unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN,
	unix.SYS_SIGALTSTACK, unix.SYS_IOCTL, unix.SYS_OPENAT, unix.SYS_NEWFSTATAT, unix.SYS_STATX, unix.SYS_READLINKAT,
	unix.SYS_FACCESSAT, unix.SYS_FACCESSAT2, unix.SYS_GETDENTS64, unix.SYS_GETCWD, unix.SYS_CHDIR,
	unix.SYS_DUP, unix.SYS_DUP3, unix.SYS_PIPE2, unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_FTRUNCATE, unix.SYS_TRUNCATE,
	unix.SYS_UNLINKAT, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_MKDIRAT, unix.SYS_SYMLINKAT, unix.SYS_LINKAT,
	unix.SYS_FCHMOD, unix.SYS_FCHMODAT, unix.SYS_UTIMENSAT, unix.SYS_STATFS, unix.SYS_FSTATFS, unix.SYS_FLOCK,
	unix.SYS_FALLOCATE, unix.SYS_COPY_FILE_RANGE, unix.SYS_SENDFILE, unix.SYS_UMASK, unix.SYS_CLOSE_RANGE,
	unix.SYS_CONNECT, unix.SYS_SENDTO, unix.SYS_RECVFROM, unix.SYS_SENDMSG, unix.SYS_RECVMSG, unix.SYS_SHUTDOWN,
	unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_ACCEPT4, unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME,
	unix.SYS_GETSOCKOPT, unix.SYS_PPOLL, unix.SYS_PSELECT6, unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL,
	unix.SYS_EPOLL_PWAIT, unix.SYS_EVENTFD2, unix.SYS_TIMERFD_CREATE, unix.SYS_TIMERFD_SETTIME,
	unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_GETRES, unix.SYS_GETTIMEOFDAY,
	unix.SYS_TIMES, unix.SYS_GETITIMER, unix.SYS_SETITIMER, unix.SYS_GETRUSAGE, unix.SYS_GETRLIMIT, unix.SYS_PRLIMIT64,
	unix.SYS_SYSINFO, unix.SYS_UNAME, unix.SYS_GETRANDOM, unix.SYS_GETPID, unix.SYS_GETPPID, unix.SYS_GETTID,
	unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID, unix.SYS_GETGROUPS, unix.SYS_GETPGID,
	unix.SYS_GETSID, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_SET_ROBUST_LIST,
	unix.SYS_SET_TID_ADDRESS, unix.SYS_RSEQ, unix.SYS_MEMBARRIER, unix.SYS_KILL, unix.SYS_TGKILL, unix.SYS_TKILL,
	unix.SYS_RT_SIGPENDING, unix.SYS_RT_SIGTIMEDWAIT, unix.SYS_RT_SIGSUSPEND, unix.SYS_WAIT4, unix.SYS_WAITID,
	unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_RESTART_SYSCALL,
}, allowedHere...)

// killing are calls that only an attack makes. The kernel ends the script, so that its builder gets a clear error code.
var killing = []uint32{
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PIDFD_GETFD, unix.SYS_UNSHARE,
	unix.SYS_SETNS, unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_OPEN_TREE,
	unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_FSMOUNT, unix.SYS_FSCONFIG, unix.SYS_MOUNT_SETATTR, unix.SYS_BPF,
	unix.SYS_PERF_EVENT_OPEN, unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_IO_URING_SETUP,
	unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER, unix.SYS_USERFAULTFD, unix.SYS_INIT_MODULE,
	unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_REBOOT,
	unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT, unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_SYSLOG,
	unix.SYS_QUOTACTL, unix.SYS_PERSONALITY, unix.SYS_SECCOMP,
}

const cloneThread = 0x10000

// sockets lists the allowed sockets: TCP and UDP, and no other protocol of their families. AF_UNIX is not allowed: such a
// socket can carry descriptors, which the kernel counts for each user and keeps until they are received. MPTCP and UDP-Lite
// are not needed.
var sockets = []struct {
	kind      uint32
	protocols []uint32
}{
	{unix.SOCK_STREAM, []uint32{0, unix.IPPROTO_TCP}},
	{unix.SOCK_DGRAM, []uint32{0, unix.IPPROTO_UDP}},
}

// socketKind masks the flags in the second argument of socket.
const socketKind = 0xf

// deniedCommands of fcntl: pipes that grow beyond 64 KiB, and signals about directories.
var deniedCommands = []uint32{unix.F_SETPIPE_SZ, unix.F_NOTIFY}

// deniedOptions of setsockopt load programs or modules into the kernel.
var deniedOptions = []struct{ level, name uint32 }{
	{unix.SOL_SOCKET, unix.SO_ATTACH_FILTER}, {unix.SOL_SOCKET, unix.SO_ATTACH_BPF},
	{unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF}, {unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_EBPF},
	{unix.SOL_TCP, unix.TCP_ULP}, {unix.SOL_TCP, unix.TCP_CONGESTION},
}

const notPermitted = uint32(seccompErrno | int(unix.EPERM))

// seccompFilter returns the program for the kernel, in native byte order.
func seccompFilter() ([]byte, error) { return assemble(thisMachine().filter()) }

func (m machine) filter() []bpf.Instruction {
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: dataArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: m.arch, SkipTrue: 1},
		bpf.RetConstant{Val: seccompKill},
		bpf.LoadAbsolute{Off: dataNumber, Size: 4},
	}
	program = append(program, m.foreign...)
	for _, number := range m.allowed {
		program = append(program, when(number, bpf.RetConstant{Val: seccompAllow})...)
	}
	for _, number := range m.killing {
		program = append(program, when(number, bpf.RetConstant{Val: seccompKill})...)
	}
	// glibc falls back to clone, whose flags the filter can check.
	program = append(program, when(m.calls.clone3, bpf.RetConstant{Val: uint32(seccompErrno | int(unix.ENOSYS))})...)
	program = append(program, when(m.calls.clone,
		bpf.LoadAbsolute{Off: dataArg0, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: cloneThread, SkipFalse: 1},
		bpf.RetConstant{Val: seccompAllow},
		bpf.RetConstant{Val: notPermitted})...)
	program = append(program, when(m.calls.socket, socketRules()...)...)
	program = append(program, when(m.calls.fcntl, commandRules()...)...)
	program = append(program, when(m.calls.setsockopt, optionRules()...)...)
	return append(program, bpf.RetConstant{Val: notPermitted})
}

func socketRules() []bpf.Instruction {
	rules := []bpf.Instruction{
		bpf.LoadAbsolute{Off: dataArg0, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_INET, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_INET6, SkipTrue: 1},
		bpf.RetConstant{Val: notPermitted},
	}
	for _, s := range sockets {
		var protocols []bpf.Instruction
		for _, protocol := range s.protocols {
			protocols = append(protocols, when(protocol, bpf.RetConstant{Val: seccompAllow})...)
		}
		rules = append(rules,
			bpf.LoadAbsolute{Off: dataArg1, Size: 4}, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: socketKind},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: s.kind, SkipTrue: uint8(len(protocols) + 2)},
			bpf.LoadAbsolute{Off: dataArg2, Size: 4})
		rules = append(append(rules, protocols...), bpf.RetConstant{Val: notPermitted})
	}
	return append(rules, bpf.RetConstant{Val: notPermitted})
}

func commandRules() []bpf.Instruction {
	rules := []bpf.Instruction{bpf.LoadAbsolute{Off: dataArg1, Size: 4}}
	for _, command := range deniedCommands {
		rules = append(rules, when(command, bpf.RetConstant{Val: notPermitted})...)
	}
	return append(rules, bpf.RetConstant{Val: seccompAllow})
}

func optionRules() []bpf.Instruction {
	var rules []bpf.Instruction
	for _, option := range deniedOptions {
		rules = append(rules,
			bpf.LoadAbsolute{Off: dataArg1, Size: 4},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: option.level, SkipTrue: 3},
			bpf.LoadAbsolute{Off: dataArg2, Size: 4})
		rules = append(rules, when(option.name, bpf.RetConstant{Val: notPermitted})...)
	}
	return append(rules, bpf.RetConstant{Val: seccompAllow})
}

// when returns instructions that run only for one value: the number of a call, or an argument. The last one must return.
func when(number uint32, then ...bpf.Instruction) []bpf.Instruction {
	skip := bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: number, SkipTrue: uint8(len(then))}
	return append([]bpf.Instruction{skip}, then...)
}

func assemble(program []bpf.Instruction) ([]byte, error) {
	raw, err := bpf.Assemble(program)
	if err != nil {
		return nil, fmt.Errorf("assemble the seccomp filter: %w", err)
	}
	var text []byte
	for _, i := range raw {
		text = binary.NativeEndian.AppendUint16(text, i.Op)
		text = append(text, i.Jt, i.Jf)
		text = binary.NativeEndian.AppendUint32(text, i.K)
	}
	return text, nil
}
