package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// probeScript tries to break out in a few ways and returns what it managed to do. It is not the proof that scripts are held,
// that is the corpus in the tests: it is how a worker notices at its start that this machine does not hold them.
const probeScript = `
import ctypes, json, os, socket

def main(event, context):
    done = []
    def attempt(name, act):
        try:
            act()
            done.append(name)
        except BaseException:
            pass
    libc = ctypes.CDLL(None, use_errno=True)
    def refuse_errors(value):
        if value < 0:
            raise OSError(ctypes.get_errno())
    attempt("read /etc/passwd", lambda: open("/etc/passwd").read())
    attempt("read the zygote's memory", lambda: open("/proc/2/mem", "rb"))
    attempt("write outside /tmp", lambda: open("/usr/lib/x", "w"))
    attempt("write to the root", lambda: open("/x", "w"))
    attempt("start a process", lambda: os.fork())
    attempt("start a program", lambda: os.execv("/usr/bin/python3", ["python3"]))
    attempt("open a raw socket", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
    attempt("connect past the proxy", lambda: socket.create_connection(("192.0.2.1", 80), 1))
    attempt("raise a limit", lambda: __import__("resource").setrlimit(7, (1000, 1000)))
    attempt("become root", lambda: os.setuid(0))
    if os.getuid() == 0:
        done.append("be root")
    if len([p for p in os.listdir("/proc") if p.isdigit()]) != 1:
        done.append("see other processes")
    if [line for line in open("/proc/self/status") if line.startswith("Seccomp:")][0].split()[1] != "2":
        done.append("run without a seccomp filter")
    if [line for line in open("/proc/self/status") if line.startswith("CapBnd:")][0].split()[1].strip("0"):
        done.append("keep a capability")
    return {"statusCode": 200, "headers": {}, "body": json.dumps(done)}
`

// probe runs the script once and says what this machine does not hold.
func (s *Sandbox) probe(ctx context.Context) error {
	c, err := s.spawn(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w%s", ErrUnavailable, err, advice(err.Error()))
	}
	defer c.close()
	offline := s.options
	offline.Dial = nil
	r, f := c.run(ctx, Job{Step: "probe", Script: probeScript, Body: "{}", Timeout: 10 * time.Second}, offline)
	if f != nil {
		return fmt.Errorf("%w: the self-test failed: %w\n%s", ErrUnavailable, f, r.Log)
	}
	var value struct {
		Body string `json:"body"`
	}
	var managed []string
	if json.Unmarshal(r.Value, &value) != nil || json.Unmarshal([]byte(value.Body), &managed) != nil {
		return fmt.Errorf("%w: the self-test gave no result", ErrUnavailable)
	}
	if len(managed) > 0 {
		return fmt.Errorf("%w: a script could %s", ErrUnavailable, strings.Join(managed, ", "))
	}
	return nil
}

// advice says how to get what bubblewrap complains about.
func advice(complaint string) string {
	for _, known := range []struct{ text, todo string }{
		{"No permissions to create new namespace", "allow user namespaces: sysctl kernel.unprivileged_userns_clone=1"},
		{"setting up uid map", "allow user namespaces: give bwrap an AppArmor profile, or " +
			"sysctl kernel.apparmor_restrict_unprivileged_userns=0"},
		{"Operation not permitted", "in a container, allow namespaces: " +
			"--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined"},
		{"No module named 'requests'", "apt-get install python3-requests"},
		{"No such file or directory", "apt-get install python3 python3-requests"},
	} {
		if strings.Contains(complaint, known.text) {
			return "\n" + known.todo
		}
	}
	return ""
}
