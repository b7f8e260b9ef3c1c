package e2e

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// transcript is what an operator types and reads during a drill. It is logged when the drill ends: docs/drills has one.
type transcript struct {
	env  []string
	text strings.Builder
}

// newTranscript returns a transcript of tools that connect as a user of NATS.
func newTranscript(t *testing.T, natsURL, temporal, user string) *transcript {
	t.Helper()
	s := &transcript{env: append(toolEnvironment(natsURL, user), "TEMPORAL_ADDRESS="+temporal, "HOOKTURN_ACTOR=ann",
		"HOOKTURN_LOG_LEVEL=warn")}
	t.Cleanup(func() { t.Logf("transcript:\n%s", &s.text) })
	return s
}

// note adds a remark.
func (s *transcript) note(format string, args ...any) {
	fmt.Fprintf(&s.text, "# "+format+"\n", args...)
}

// run runs a command of "starter" and returns what it printed.
func (s *transcript) run(t *testing.T, args ...string) (out string, status int) {
	t.Helper()
	fmt.Fprintf(&s.text, "$ starter %s\n", strings.Join(args, " "))
	out, status = s.read(t, args...)
	s.text.WriteString(out)
	if status != 0 {
		s.note("exit status %d", status)
	}
	s.text.WriteByte('\n')
	return out, status
}

// read runs a command outside of the transcript.
func (s *transcript) read(t *testing.T, args ...string) (out string, status int) {
	t.Helper()
	command, printed := s.start(t, args...)
	err := command.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		status = exit.ExitCode()
	} else {
		require.NoError(t, err)
	}
	return printed.String(), status
}

// start starts a command of "starter", which prints into the buffer.
func (s *transcript) start(t *testing.T, args ...string) (*exec.Cmd, *lockedBuffer) {
	t.Helper()
	args = append(slices.Clip(args), waitLong)
	command, printed := exec.CommandContext(t.Context(), program(t, "starter"), args...), &lockedBuffer{}
	command.Env, command.Stdout, command.Stderr = s.env, printed, printed
	require.NoError(t, command.Start())
	return command, printed
}

// killed starts a command and kills it as soon as reached is true.
func (s *transcript) killed(t *testing.T, reached func() bool, args ...string) {
	t.Helper()
	fmt.Fprintf(&s.text, "$ starter %s\n", strings.Join(args, " "))
	command, printed := s.start(t, args...)
	require.Eventually(t, reached, patience, pollInterval, "%s", printed)
	require.NoError(t, command.Process.Kill())
	require.Error(t, command.Wait(), "it was killed before it ended")
	s.note("killed by SIGKILL")
	s.text.WriteByte('\n')
}
