package sandbox

import (
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const auditArch = 0xc00000b7 // AUDIT_ARCH_AARCH64

// The system call that starts a process, and the position of child_tid among its arguments, from 1.
const cloneCall, cloneTID = unix.SYS_CLONE, 5

var allowedHere []uint32

func foreign(uint32) []bpf.Instruction { return nil }
