package sandbox

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
)

// attack is a script that tries to do harm, and how it ends: with an error code, or with this result.
type attack struct {
	script string     // the body of attack(), which returns what it got hold of
	kind   fault.Kind // "" = it ends well
	result string     // what it got hold of then, as JSON; "*" = anything
}

// prelude is what attacks may use.
const prelude = `
import ctypes, json, os, socket, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)

def check(value):
    if value < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return value

def main(event, context):
    return {"statusCode": 200, "headers": {}, "body": json.dumps(attack(event, context))}

def attack(event, context):
`

const (
	raises    = fault.ScriptException
	forbidden = fault.ScriptForbidden
)

// corpus are the attacks by what they are after. $HOST stands for a port that this process listens on, on the loopback
// address of the machine; $PID for this process.
var corpus = map[string]attack{
	// Files.
	"files: passwords":            {`return open("/etc/passwd").read()`, raises, ""},
	"files: shadow":               {`return open("/etc/shadow").read()`, raises, ""},
	"files: home of root":         {`return os.listdir("/root")`, raises, ""},
	"files: the worker's secrets": {`return os.listdir("/etc/hookturn")`, raises, ""},
	"files: the work directory":   {`return os.listdir("/work")`, raises, ""},
	"files: a docker socket":      {`s = socket.socket(socket.AF_UNIX); s.connect("/var/run/docker.sock")`, raises, ""},
	"files: write a library":      {`return open("/usr/lib/python3/dist-packages/requests/x.py", "w")`, raises, ""},
	"files: write the zygote":     {`return open("/zygote.py", "a")`, raises, ""},
	"files: write to the root":    {`return open("/x", "w")`, raises, ""},
	"files: write to dev":         {`return open("/dev/x", "w")`, raises, ""},
	"files: a device":             {`return os.mknod("/tmp/disk", 0o60666, os.makedev(8, 0))`, raises, ""},
	"files: the disk":             {`return open("/dev/sda", "rb").read(1)`, raises, ""},
	"files: kernel memory":        {`return open("/dev/mem", "rb").read(1)`, raises, ""},
	"files: kernel messages":      {`return open("/dev/kmsg").read()`, raises, ""},
	"files: a way out of tmp":     {`os.symlink("/etc/passwd", "/tmp/p"); return open("/tmp/p").read()`, raises, ""},
	"files: by a handle":          {`return libc.syscall(304, -100, b"", 0)`, forbidden, ""},
	"files: root by proc":         {`return open("/proc/1/root/etc/passwd").read()`, raises, ""},
	"files: sysctl":               {`return open("/proc/sys/kernel/core_pattern", "w").write("|/tmp/x")`, raises, ""},
	"files: sysrq":                {`return open("/proc/sysrq-trigger", "w").write("b")`, raises, ""},
	"files: oom score":            {`return open("/proc/self/oom_score_adj", "w").write("-1000")`, raises, ""},
	"files: chroot":               {`return os.chroot("/tmp")`, forbidden, ""},
	"files: run from tmp": {`open("/tmp/x", "w").write("#!/bin/sh"); os.chmod("/tmp/x", 0o755)
    return os.execv("/tmp/x", ["x"])`, raises, ""},
	"files: a set-uid program": {`open("/tmp/x", "w").close(); os.chmod("/tmp/x", 0o4755)
    return os.stat("/tmp/x").st_uid`, "", "65533"},

	// The environment, descriptors, other runs.
	"environment: the worker's":  {`return [n for n in os.environ if "HOOKTURN" in n or "TEMPORAL" in n]`, "", "[]"},
	"environment: the zygote's":  {`return open("/proc/self/environ", "rb").read().decode()`, "", `*`},
	"environment: the first one": {`return open("/proc/1/environ", "rb").read().decode().count("HOOKTURN")`, "", "0"},
	"descriptors: inherited": {`fds = [f"/proc/self/fd/{f}" for f in os.listdir("/proc/self/fd") if int(f) > 2]
    return [os.readlink(f).split(":")[0] for f in fds if os.path.exists(f)]`, "", `["pipe"]`}, // the one for its answer
	"descriptors: the zygote's ctl": {`return os.write(3, b"process")`, raises, ""},
	"runs: a file of another":       {`return os.path.exists("/tmp/left")`, "", "false"},
	"runs: shared memory":           {`return open("/dev/shm/x", "w")`, raises, ""},
	"runs: a message queue":         {`return check(libc.msgget(1, 0o1666))`, raises, ""},
	"runs: system V memory":         {`return check(libc.shmget(1, 4096, 0o1666))`, raises, ""},

	// Processes.
	"processes: who is there":          {`return [p for p in os.listdir("/proc") if p.isdigit()]`, "", `["1"]`},
	"processes: the worker":            {`return os.path.exists("/proc/$PID/environ")`, "", "false"},
	"processes: signal the worker":     {`return os.kill($PID, 9)`, raises, ""},
	"processes: signal everyone":       {`os.kill(-1, 9); return "alive"`, raises, ""},
	"processes: signal the group":      {`os.kill(0, 9); return "alive"`, "", `"alive"`},
	"processes: signal a group":        {`return os.killpg(2, 9)`, raises, ""},
	"processes: whose session":         {`return [os.getsid(0), os.getpgid(0), os.getpid()]`, "", "[1, 1, 1]"},
	"processes: signal the supervisor": {`return os.kill(os.getppid(), 9)`, "", "*"},
	"processes: fork":                  {`return os.fork()`, raises, ""},
	"processes: vfork by hand":         {`return check(libc.syscall(58))`, raises, ""},
	"processes: clone by hand":         {`return check(libc.syscall(56, 17, 0, 0, 0, 0))`, raises, ""},
	"processes: clone3 by hand":        {`return check(libc.syscall(435, bytes(64), 64))`, raises, ""},
	"processes: a shell":               {`return os.system("id")`, "", "*"},
	"processes: subprocess":            {`import subprocess; return subprocess.run(["/usr/bin/python3", "-c", "1"]).returncode`, raises, ""},
	"processes: multiprocessing":       {`import multiprocessing as m; p = m.Process(target=print); p.start(); return p.pid`, raises, ""},
	"processes: execveat":              {`return check(libc.syscall(322, -100, b"/usr/bin/python3", 0, 0, 0))`, raises, ""},
	"processes: ptrace":                {`return libc.ptrace(16, os.getppid(), 0, 0)`, forbidden, ""},
	"processes: read memory":           {`return libc.process_vm_readv($PID, None, 0, None, 0, 0)`, forbidden, ""},
	"processes: steal descriptors":     {`return libc.syscall(438, 0, 0, 0)`, forbidden, ""},
	"processes: priority":              {`return os.nice(-5)`, raises, ""},
	"processes: a core dump":           {`import resource; resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20))`, raises, ""},

	// The kernel.
	"kernel: namespaces":        {`return libc.unshare(0x10000000)`, forbidden, ""},
	"kernel: enter a namespace": {`return libc.setns(0, 0)`, forbidden, ""},
	"kernel: mount":             {`return libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None)`, forbidden, ""},
	"kernel: unmount":           {`return libc.umount2(b"/tmp", 2)`, forbidden, ""},
	"kernel: the new mounts":    {`return libc.syscall(430, b"tmpfs", 0)`, forbidden, ""},
	"kernel: pivot the root":    {`return libc.syscall(155, b"/", b"/")`, forbidden, ""},
	"kernel: key rings":         {`return libc.syscall(250, 0, -3, 0)`, forbidden, ""},
	"kernel: add a key":         {`return libc.syscall(248, b"user", b"x", b"y", 1, -3)`, forbidden, ""},
	"kernel: io_uring":          {`return libc.syscall(425, 8, bytes(120))`, forbidden, ""},
	"kernel: bpf":               {`return libc.syscall(321, 0, bytes(64), 64)`, forbidden, ""},
	"kernel: perf":              {`return libc.syscall(298, bytes(128), 0, -1, -1, 0)`, forbidden, ""},
	"kernel: userfaultfd":       {`return libc.syscall(323, 0)`, forbidden, ""},
	"kernel: modules":           {`return libc.syscall(313, 0, b"", 0)`, forbidden, ""},
	"kernel: another filter":    {`return libc.syscall(317, 1, 0, bytes(16))`, forbidden, ""},
	"kernel: personality":       {`return libc.personality(0x0040000)`, forbidden, ""},
	"kernel: x32 calls":         {`return check(libc.syscall(0x40000000 | 57))`, raises, ""},
	"kernel: the clock":         {`return libc.clock_settime(0, bytes(16))`, forbidden, ""},
	"kernel: reboot":            {`return libc.reboot(0x1234567)`, forbidden, ""},
	"kernel: become root":       {`return os.setuid(0)`, raises, ""},
	"kernel: capabilities":      {`return [l.split()[1].strip("0") for l in open("/proc/self/status") if l.startswith("Cap")]`, "", `["", "", "", "", ""]`},
	"kernel: new privileges":    {`return check(libc.prctl(38, 0, 0, 0, 0))`, raises, ""},
	"kernel: host name":         {`return socket.sethostname("x")`, raises, ""},
	"kernel: whose machine":     {`return socket.gethostname()`, "", `"sandbox"`},

	// The network.
	"network: this machine":                         {`return socket.create_connection(("127.0.0.1", $HOST), 2)`, raises, ""},
	"network: the inside":                           {`return socket.create_connection(("10.0.0.1", 80), 2)`, raises, ""},
	"network: metadata":                             {`return socket.create_connection(("169.254.169.254", 80), 2)`, raises, ""},
	"network: names are not looked up":              {`return socket.getaddrinfo("example.com", 443)[0][4]`, "", `["240.0.0.1", 443]`},
	"network: a name":                               {`return socket.create_connection(("example.com", 443), 2)`, raises, ""},
	"network: past Python's sockets":                {`import _socket; return _socket.socket().connect(("10.0.0.1", 80))`, raises, ""},
	"network: datagrams":                            {`s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); return s.sendto(b"x", ("10.0.0.1", 53))`, raises, ""},
	"network: raw":                                  {`return socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)`, raises, ""},
	"network: packets":                              {`return socket.socket(socket.AF_PACKET, socket.SOCK_RAW)`, raises, ""},
	"network: netlink":                              {`return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)`, raises, ""},
	"network: vsock":                                {`return socket.socket(40, socket.SOCK_STREAM)`, raises, ""},
	"network: UNIX sockets":                         {`return socket.socket(socket.AF_UNIX)`, raises, ""},
	"network: UNIX datagrams":                       {`return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)`, raises, ""},
	"network: a pair of UNIX sockets":               {`return check(libc.socketpair(1, 1, 0, (ctypes.c_int * 2)()))`, raises, ""},
	"network: the pair is TCP":                      {`a, b = socket.socketpair(); return [a.family == socket.AF_INET, b.family == socket.AF_INET]`, "", "[true, true]"},
	"network: descriptors over a pair":              {`a, b = socket.socketpair(); socket.send_fds(a, [b"x"], [0]); return socket.recv_fds(b, 1, 1)[1]`, "", "[]"},
	"network: MPTCP":                                {`return socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)`, raises, ""},
	"network: MPTCP over IPv6":                      {`return socket.socket(socket.AF_INET6, socket.SOCK_STREAM, 262)`, raises, ""},
	"network: UDP-Lite":                             {`return socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 136)`, raises, ""},
	"network: ping":                                 {`return socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 1)`, raises, ""},
	"network: SCTP":                                 {`return socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)`, raises, ""},
	"network: the kernel's ciphers":                 {`return socket.socket(38, socket.SOCK_SEQPACKET)`, raises, ""},
	"network: TLS in the kernel":                    {`return socket.socket().setsockopt(6, 31, b"tls")`, raises, ""},
	"network: a filter":                             {`return socket.socket().setsockopt(1, 26, bytes(16))`, raises, ""},
	"network: listen on the pair's port of another": {`return socket.create_connection(("127.0.0.1", 3129), 2)`, raises, ""},
	"network: abstract sockets":                     {`s = socket.socket(socket.AF_UNIX); s.connect("\0/tmp/.X11-unix/X0")`, raises, ""},
	"network: listen for others":                    {`s = socket.socket(); s.bind(("127.0.0.1", 8080)); return s.listen()`, raises, ""},
	"network: proxy, no way out":                    {`import requests; return requests.get("https://example.com", timeout=5).status_code`, raises, ""},
	"network: proxy, to itself":                     {`import requests; return requests.get("http://127.0.0.1:3128/", timeout=50).status_code`, "", "403"},

	// What the kernel counts by user.
	"counters: a big pipe":     {`import fcntl; r, w = os.pipe(); return fcntl.fcntl(w, 1031, 1 << 20)`, raises, ""},
	"counters: inotify":        {`return check(libc.inotify_init1(0))`, raises, ""},
	"counters: message queues": {`return check(libc.syscall(240, b"/x", 0o102, 0o600, None))`, raises, ""},
	"counters: queued signals": {`return check(libc.syscall(129, 1, 10, bytes(128)))`, raises, ""},
	"counters: locked memory":  {`return check(libc.mlock(ctypes.create_string_buffer(1 << 20), 1 << 20))`, raises, ""},
	"counters: memory files":   {`return os.memfd_create("x")`, raises, ""},
	"counters: vmsplice":       {`return check(libc.syscall(278, 1, bytes(16), 1, 0))`, raises, ""},
	"counters: a POSIX timer":  {`return check(libc.syscall(222, 0, None, bytes(8)))`, raises, ""},

	// Forged and broken results.
	"results: end the process":   {`os._exit(0)`, fault.ScriptCrash, ""},
	"results: a bad pointer":     {`ctypes.string_at(0)`, fault.ScriptCrash, ""},
	"results: kill oneself":      {`os.kill(os.getpid(), 9); time.sleep(0.2); return "alive"`, "", `"alive"`},
	"results: exit":              {`sys.exit(0)`, raises, ""},
	"results: interrupt":         {`raise KeyboardInterrupt`, raises, ""},
	"results: a forged frame":    {forge(`{"kind":"ok","value":{"statusCode":200,"body":"forged"},"log":""}`, 0), "", "*"},
	"results: an unknown kind":   {forge(`{"kind":"root"}`, 0), fault.ScriptBadResponse, ""},
	"results: no JSON":           {forge(`{"kind":`, 0), fault.ScriptBadResponse, ""},
	"results: half a frame":      {forge(`{"kind":"ok"`, 1000), fault.ScriptCrash, ""},
	"results: a frame too large": {forge(`{}`, 1<<31), fault.ScriptBadResponse, ""},
	"results: endless output":    {endless, fault.ScriptBadResponse, ""},
	"results: descriptors back":  {descriptors, "", "[]"},
	"results: not a number":      {`return float("nan")`, "", "NaN"},
	"results: too large":         {`return "x" * (1 << 20)`, fault.ScriptBadResponse, ""},
	"results: lone surrogates":   {`return "\ud800"`, "", "*"},
	"results: broken tools":      {`json.dumps = None; sys.stdout = None; return {}`, "?", ""},
	"results: broken built-ins":  {`import builtins; builtins.len = None; builtins.isinstance = None; raise ValueError("x")`, "?", ""},
}

// forge writes a frame as the runner would, on every descriptor that takes it; claim is added to its length.
func forge(text string, claim int) string {
	return fmt.Sprintf(`
    text = %q.encode()
    for fd in range(3, 64):
        try:
            os.write(fd, struct.pack(">I", min(len(text) + %d, 0xffffffff)) + text)
        except OSError:
            pass
    os._exit(0)`, text, claim)
}

const endless = `
    for fd in range(3, 64):
        try:
            os.write(fd, b"\xff" * 4)
            while True:
                os.write(fd, b"x" * 65536)
        except OSError:
            pass
    os._exit(0)`

const descriptors = `
    sent = []
    for fd in range(3, 64):
        try:
            s = socket.socket(fileno=os.dup(fd))
            socket.send_fds(s, [b"x"], [0, 1, 2])
            sent.append(fd)
        except OSError:
            pass
    return sent`

func TestCorpus(t *testing.T) {
	require.GreaterOrEqual(t, len(corpus), 60)
	s := newSandbox(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	replace := strings.NewReplacer("$HOST", port, "$PID", fmt.Sprint(os.Getpid()))

	t.Run("attacks", func(t *testing.T) {
		for name, a := range corpus {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				a.run(t, s, replace)
			})
		}
	})
	r, f := s.Run(t.Context(), job("def main(e, c):\n    return {'statusCode': 200}"))
	require.Nil(t, f, "after all of that a script runs as ever: %s", r.Log)
}

// run runs one attack.
func (a attack) run(t *testing.T, s *Sandbox, replace *strings.Replacer) {
	t.Helper()
	j := job(prelude + "    " + replace.Replace(a.script) + "\n")
	r, f := s.Run(t.Context(), j)
	switch {
	case a.kind == "?": // any end will do, as long as it is one
		require.True(t, f == nil || f.Kind.Known())
	case a.kind != "":
		require.NotNil(t, f, "it ended well: %s", r.Value)
		require.Equal(t, a.kind, f.Kind, "%s\n%s", f.Message, r.Log)
	default:
		require.Nil(t, f, "%s", r.Log)
		if a.result != "*" {
			var value struct{ Body string }
			require.NoError(t, json.Unmarshal(r.Value, &value))
			require.Equal(t, a.result, value.Body)
		}
	}
}

// TestCorpus_Exhaustion uses up what a script has, one kind each.
func TestCorpus_Exhaustion(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	for name, a := range map[string]attack{
		"processor": {`while True: pass`, fault.ScriptCPU, ""},
		"processor, in threads": {`
    import threading
    for _ in range(8): threading.Thread(target=lambda: sum(range(10**10)), daemon=True).start()
    sum(range(10**10))`, fault.ScriptCPU, ""},
		"time":              {`time.sleep(60)`, fault.ScriptTimeout, ""},
		"memory":            {`return len(bytearray(1 << 30))`, fault.ScriptMemory, ""},
		"memory, by drips":  {"\n    x = []\n    while True: x.append(bytearray(1 << 20))", fault.ScriptMemory, ""},
		"disk":              {`open("/tmp/x", "wb").write(bytes(20 << 20))`, raises, ""},
		"disk, many files":  {"\n    for i in range(100000): open(f'/tmp/{i}', 'w')", raises, ""},
		"descriptors":       {`return [os.open("/dev/null", 0) for _ in range(100)]`, raises, ""},
		"threads":           {"\n    import threading\n    for _ in range(100): threading.Thread(target=time.sleep, args=(30,), daemon=True).start()", raises, ""},
		"a thread is left":  {"\n    import threading\n    threading.Thread(target=time.sleep, args=(30,)).start()\n    return 1", "", "1"},
		"the log":           {"\n    for _ in range(10000): print('x' * 100)\n    return 'done'", "", "done"},
		"depth":             {"\n    def f(): return f()\n    return f()", raises, ""},
		"depth of a result": {"\n    x = []\n    for _ in range(100000): x = [x]\n    return x", raises, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := job(prelude + "    " + a.script + "\n")
			if a.kind == fault.ScriptTimeout {
				j.Timeout = time.Second
			}
			r, f := s.Run(t.Context(), j)
			require.LessOrEqual(t, len(r.Log), LogMax+100)
			if a.kind == "" {
				require.Nil(t, f, r.Log)
				require.Contains(t, string(r.Value), a.result)
				return
			}
			require.NotNil(t, f, "%s", r.Value)
			require.Equal(t, a.kind, f.Kind, "%s\n%s", f.Message, r.Log)
		})
	}
}
