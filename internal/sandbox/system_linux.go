package sandbox

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// mayChangeUser returns an error when this process cannot start interpreters under other user ids.
func mayChangeUser() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read this process's capabilities: %w", err)
	}
	const needed = 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID
	if data[0].Effective&needed != needed {
		return errors.New("missing layer: a user id of its own for each script. This process runs as user " +
			strconv.Itoa(os.Getuid()) + " without the capabilities SETUID and SETGID: run workers for code steps as root, in a " +
			"container of their own")
	}
	return nil
}

// ownUsers returns the attributes of a process with a user namespace that has a range of ids.
func ownUsers(users Users) *syscall.SysProcAttr {
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: int(users.First), Size: int(users.Count)}}
	return &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids, GidMappingsEnableSetgroups: true,
		Credential: &syscall.Credential{Uid: 0, Gid: 0}, Setpgid: true,
	}
}

// memoryFile returns an empty file in memory.
func memoryFile(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// socketPair returns one end of a socket pair as a connection and the other as a file.
func socketPair(kind int) (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("create a socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "sandbox"), os.NewFile(uintptr(fds[1]), "sandbox")
	conn, err := net.FileConn(ours)
	_ = ours.Close() // FileConn has a copy
	if err != nil {
		_ = theirs.Close()
		return nil, nil, fmt.Errorf("use a socket pair: %w", err)
	}
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		_ = theirs.Close()
		return nil, nil, errors.New("a socket pair is not a UNIX connection")
	}
	return unixConn, theirs, nil
}
