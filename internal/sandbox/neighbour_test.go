package sandbox

import (
	"context"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
)

// hoarders are scripts that take all they can get of one thing, tell that they have it by a connection to the outside,
// and keep it for as long as they may.
var hoarders = map[string]string{
	"time": ``,
	"descriptors": `
    files = []
    try:
        while True: files.append(os.open("/dev/null", 0))
    except OSError: pass`,
	"descriptors in flight": `
    left, right = (ctypes.c_int * 2)(), None
    if libc.socketpair(1, 5, 0, left) == 0:
        a = socket.socket(fileno=left[0])
        try:
            for _ in range(250): socket.send_fds(a, [b"x"], [0])
        except OSError: pass`,
	"pipes": `
    pipes = []
    try:
        while True:
            r, w = os.pipe()
            pipes.append((r, w))
            os.set_blocking(w, False)
            try:
                while True: os.write(w, bytes(65536))
            except BlockingIOError: pass
    except OSError: pass`,
	"sockets with full buffers": `
    pairs = []
    try:
        while True:
            a, b = socket.socketpair()
            pairs.append((a, b))
            a.setblocking(False)
            try:
                while True: a.send(bytes(1 << 20))
            except BlockingIOError: pass
    except OSError: pass`,
	"memory": `
    blocks = []
    try:
        while True: blocks.append(bytearray(b"x" * (1 << 20)))
    except MemoryError: blocks.pop()`,
	"threads": `
    threads = []
    try:
        while True:
            t = threading.Thread(target=time.sleep, args=(3600,), daemon=True)
            t.start()
            threads.append(t)
    except RuntimeError: pass`,
	"the processor": `
    for _ in range(8): threading.Thread(target=exec, args=("while True: pass",), daemon=True).start()`,
	"files": `
    try:
        for i in range(2000): open(f"/tmp/{i}", "wb").write(bytes(1 << 16))
    except OSError: pass`,
	"watches": `
    polls = [select.epoll() for _ in range(20)]
    for p in polls:
        for fd in (0, 1, 2):
            try: p.register(fd)
            except OSError: pass
    timers = [libc.timerfd_create(1, 0) for _ in range(100)]`,
	"signals": `
    for target in (0, -1, 2, -2):
        try: os.kill(target, 9)
        except OSError: pass`,
}

const hoarding = `
import ctypes, os, select, socket, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def main(event, context):
    control = socket.create_connection(("127.0.0.1", 3128))
    control.sendall(b"CONNECT held.example:443 HTTP/1.1\r\nHost: held.example\r\n\r\n")
    while not control.recv(100).endswith(b"\r\n\r\n"): pass
`

const hoarded = `
    control.sendall(b"have it")
    time.sleep(3600)
`

// TestNeighbours_Hoarding has one tenant run as many scripts as it may, each of which takes all it can get. Another
// tenant's script runs as ever.
func TestNeighbours_Hoarding(t *testing.T) {
	for name, script := range hoarders {
		t.Run(name, func(t *testing.T) { neighbours(t, newSandbox, script) })
	}
}

// TestNeighbours_OneLayerLess does the same where one of the layers that hold a script is missing: the others hold.
func TestNeighbours_OneLayerLess(t *testing.T) {
	for _, c := range []struct{ script, without string }{
		{"descriptors in flight", "seccomp"},
		{"pipes", "seccomp"},
		{"signals", "landlock setsid"},
		{"signals", "landlock users"},
		{"signals", "setsid users"},
		{"watches", "seccomp"},
	} {
		t.Run(c.script+" without "+c.without, func(t *testing.T) {
			neighbours(t, func(t testing.TB, change ...func(*Options)) *Sandbox {
				return newUnprobed(t, append(change, func(o *Options) { o.without = strings.Fields(c.without) })...)
			}, hoarders[c.script])
		})
	}
}

// neighbours runs the script of one tenant on all the slots that it gets, and then another tenant's.
func neighbours(t *testing.T, open func(t testing.TB, change ...func(*Options)) *Sandbox, script string) {
	t.Helper()
	const share = 2
	g := newGathering(t)
	s := open(t, g.dial, func(o *Options) { o.Concurrency, o.Warm = 2*share, 2 })
	ctx, stop := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	defer busy.Wait()
	defer stop()
	var long *fault.Fault // of the other tenant's script that runs all the time
	longEnded := make(chan struct{})
	busy.Go(func() {
		defer close(longEnded)
		j := job(hoarding + "    control.sendall(b'begun')\n    assert control.recv(100) == b'go on'\n")
		j.Tenant = "zeta"
		_, long = s.Run(ctx, j)
	})
	first := g.await(t)
	ends := [share]*fault.Fault{}
	for i := range ends {
		busy.Go(func() {
			j := job(hoarding + script + hoarded)
			_, ends[i] = s.Run(ctx, j)
		})
	}
	for range ends {
		g.await(t)
	}
	for range 6 { // more than were started ahead
		other := job("import json, socket\ndef main(e, c):\n    a, b = socket.socketpair()\n    return [open('/tmp/x', 'w').write('x'), json.loads(e['body'])]")
		other.Tenant = "zeta"
		r, f := s.Run(t.Context(), other)
		require.Nil(t, f, r.Log)
		require.JSONEq(t, `[1, {"a": 1}]`, string(r.Value))
	}
	first.goOn()
	<-first.gone()
	<-longEnded
	stop()
	busy.Wait()
	require.Nil(t, long, "the script that ran all the time")
	for _, f := range ends { // nothing but the end of the test, or its own greed, has ended it
		require.NotNil(t, f)
		require.Contains(t, []fault.Kind{fault.OutcomeUnknown, fault.ScriptCPU, fault.ScriptMemory}, f.Kind, f.Message)
	}
}

// newUnprobed is a sandbox that New would not give, for it lacks a layer.
func newUnprobed(t testing.TB, change ...func(*Options)) *Sandbox {
	t.Helper()
	o := Options{wait: unhurried}
	for _, c := range change {
		c(&o)
	}
	s, err := prepare(o)
	require.NoError(t, err)
	s.start()
	t.Cleanup(s.Close)
	return s
}

// TestProbe_NamesTheMissingLayer removes layers: the worker does not start, and the error names the missing layer.
func TestProbe_NamesTheMissingLayer(t *testing.T) {
	for without, texts := range map[string][]string{
		"seccomp": {"missing layer: the seccomp filter", "open a UNIX socket", "open an MPTCP socket", "open a UDP-Lite socket"},
		"setsid":  {"missing layer: a session of its own", "share a session or a process group"},
		"users":   {"missing layer: a user id of its own", "share its user id"},
		"setsid landlock users": {
			"missing layer: a session of its own", "end other scripts by kill(0, 9)", "missing layer: a user id of its own",
		},
	} {
		t.Run(without, func(t *testing.T) {
			_, err := New(t.Context(), Options{Warm: 1, Concurrency: 1, without: strings.Fields(without)})
			require.ErrorIs(t, err, ErrUnavailable)
			for _, text := range texts {
				require.ErrorContains(t, err, text)
			}
		})
	}
	s, err := New(t.Context(), Options{Warm: 1, Concurrency: 1, without: []string{"landlock"}})
	require.NoError(t, err, "no layer rests on Landlock, which older kernels do not have")
	s.Close()
}

// gathering is a server that scripts connect to when they have reached a point of the test.
type gathering struct {
	dial    func(*Options)
	arrived chan *visitor
}

// visitor is one script at a gathering.
type visitor struct {
	conn *net.TCPConn
	end  chan struct{}
}

func newGathering(t *testing.T) *gathering {
	t.Helper()
	g := &gathering{arrived: make(chan *visitor, 100)}
	held := connServer(t, func(conn *net.TCPConn) {
		v := &visitor{conn: conn, end: make(chan struct{})}
		defer close(v.end)
		if n, err := conn.Read(make([]byte, 10)); n > 0 && err == nil {
			g.arrived <- v
		}
		_, _ = io.Copy(io.Discard, conn)
	})
	g.dial, _ = outside(t, map[string]*httptest.Server{"held.example:443": held})
	return g
}

func (g *gathering) await(t *testing.T) *visitor {
	t.Helper()
	select {
	case v := <-g.arrived:
		return v
	case <-time.After(unhurried):
		require.Fail(t, "no script has come")
		return nil
	}
}

func (v *visitor) goOn() { _, _ = io.WriteString(v.conn, "go on") }

// gone is closed when the script has ended.
func (v *visitor) gone() <-chan struct{} { return v.end }
