package sandbox

import (
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const auditArch = 0xc000003e // AUDIT_ARCH_X86_64

// The system call that starts a process, and the position of child_tid among its arguments, from 1.
const cloneCall, cloneTID = unix.SYS_CLONE, 4

// allowedHere are older forms of system calls on this architecture.
var allowedHere = []uint32{
	unix.SYS_OPEN, unix.SYS_STAT, unix.SYS_LSTAT, unix.SYS_POLL, unix.SYS_SELECT, unix.SYS_ACCESS, unix.SYS_PIPE,
	unix.SYS_DUP2, unix.SYS_GETDENTS, unix.SYS_RENAME, unix.SYS_MKDIR, unix.SYS_RMDIR, unix.SYS_UNLINK, unix.SYS_SYMLINK,
	unix.SYS_LINK, unix.SYS_READLINK, unix.SYS_CHMOD, unix.SYS_TIME, unix.SYS_ARCH_PRCTL, unix.SYS_EPOLL_WAIT,
	unix.SYS_EPOLL_CREATE, unix.SYS_EVENTFD, unix.SYS_ACCEPT, unix.SYS_ALARM, unix.SYS_PAUSE, unix.SYS_GETPGRP,
	unix.SYS_UTIMES,
}

const x32Bit = 0x40000000

// foreign rejects the calls of the x32 interface, which have other numbers.
func foreign(refuse uint32) []bpf.Instruction {
	return []bpf.Instruction{
		bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: x32Bit, SkipFalse: 1}, bpf.RetConstant{Val: refuse},
	}
}
