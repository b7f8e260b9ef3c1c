//go:build !linux

package sandbox

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"syscall"
)

// errSystem is the result of New on systems without the layers that isolate scripts. The rest of the worker runs there.
var errSystem = fmt.Errorf("%w: sandboxes need Linux, this is %s", ErrUnavailable, runtime.GOOS)

const cloneCall, cloneTID = 0, 0

func mayChangeUser() error { return errSystem }

func ownUsers(Users) *syscall.SysProcAttr { return nil }

func memoryFile(string) (*os.File, error) { return nil, errSystem }

func socketPair(int) (*net.UnixConn, *os.File, error) { return nil, nil, errSystem }

func seccompFilter() ([]byte, error) { return nil, errSystem }
