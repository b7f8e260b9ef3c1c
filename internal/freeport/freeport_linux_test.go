package freeport

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// role is the variable by which this test binary chooses ports beside the test.
const role = "HOOKTURN_FREEPORT_CHOOSE"

func TestMain(m *testing.M) {
	if os.Getenv(role) == "" {
		os.Exit(m.Run())
	}
	from, to := bounds(systemPorts())
	for range several {
		fmt.Fprintln(os.Stdout, ports.choose(from, to))
	}
	fmt.Fprintln(os.Stdout, "done")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // it keeps its claims until the test ends it
}

const several = 100

// TestChoose_OtherProcess: a process is not given what another one that runs was given, from the same place on.
func TestChoose_OtherProcess(t *testing.T) {
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), role+"=1")
	input, err := other.StdinPipe()
	require.NoError(t, err)
	output, err := other.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, other.Start())
	t.Cleanup(func() {
		_ = input.Close()
		require.NoError(t, other.Wait())
	})
	theirs := map[int]bool{}
	for lines := bufio.NewScanner(output); lines.Scan() && lines.Text() != "done"; {
		var port int
		_, err := fmt.Sscan(lines.Text(), &port)
		require.NoError(t, err)
		theirs[port] = true
	}
	require.Len(t, theirs, several)
	from, to := bounds(systemPorts())
	size := to - from
	ours := newChooser()
	ours.steps = size + start(other.Process.Pid, size) - start(os.Getpid(), size) // where the other one began
	t.Cleanup(func() {
		for _, claimed := range ours.claims {
			_ = claimed.Close()
		}
	})
	for range several {
		require.NotContains(t, theirs, ours.choose(from, to))
	}
}

// TestChoose_ClaimedPortNotTried: a port that another process was given is not listened on, even for a moment.
func TestChoose_ClaimedPortNotTried(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	port := l.Addr().(*net.TCPAddr).Port
	owner, err := claim(port)
	require.NoError(t, err)
	ours := newChooser()
	ours.free = func(int) bool { t.Error("the port is tried"); return true }
	require.Panics(t, func() { ours.choose(port, port+1) })
	require.NoError(t, owner.Close())
}

// TestChoose_PortInUseNotClaimed: a port that is in use can be given once it is not.
func TestChoose_PortInUseNotClaimed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	port := l.Addr().(*net.TCPAddr).Port
	require.Panics(t, func() { newChooser().choose(port, port+1) })
	claimed, err := claim(port)
	require.NoError(t, err)
	require.NoError(t, claimed.Close())
}
