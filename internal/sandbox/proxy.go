package sandbox

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hookturn/hookturn/internal/fault"
)

// Limits of one run's connections.
const (
	connectionsMax = 20      // over the whole run
	togetherMax    = 8       // at a time
	bytesMax       = 8 << 20 // in each direction, over the whole run
	dialTimeout    = 10 * time.Second
	deniedLogged   = 20  // denied connections of a run that have a log line each
	targetMax      = 260 // bytes of a host's name, 253 (RFC 1035), and a port
)

// proxy is the egress proxy of one process. It serves CONNECT, and plain HTTP where the operator allows it. It resolves host
// names and applies the egress policy of webhooks to every address.
type proxy struct {
	job     Job
	options Options

	permits   permits
	hostCalls hostCalls
	denied    atomic.Int64
	discards  atomic.Int64
	up, down  atomic.Int64
}

// permits limit the connections of a run, in total and at a time. Denied connections do not count.
type permits struct {
	mu          sync.Mutex
	made, alive int
}

// acquire returns a permit, or a fault that names the limit.
func (p *permits) acquire() (release func(), f *fault.Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.made >= connectionsMax:
		return nil, fault.New(fault.RateLimited, "a run makes at most %d connections", connectionsMax)
	case p.alive >= togetherMax:
		return nil, fault.New(fault.RateLimited, "a run has at most %d connections at a time: close one first", togetherMax)
	}
	p.made++
	p.alive++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.alive--
	}, nil
}

// serveProxy serves the host socket of a process until the returned function is called.
func serveProxy(listener net.Listener, j Job, o Options) (stop func()) {
	p := &proxy{job: j, options: o}
	ctx, cancel := context.WithCancel(context.Background())
	server := &http.Server{
		Handler: p, ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug), // it quotes input of scripts
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) }) // ends with stop
	return func() {
		cancel()
		_ = server.Close()
		serving.Wait()
		p.end()
	}
}

// end logs how many denied connections have no line of their own.
func (p *proxy) end() {
	if more := p.denied.Load() - deniedLogged; more > 0 {
		p.options.Log.Warn("more script connections denied", "tenant", p.job.Tenant, "bot", p.job.Bot, "step", p.job.Step,
			"event", p.job.EventID, "count", more, "trace_id", p.job.TraceID)
	}
}

// ServeHTTP opens one connection for the script, or responds with an error.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect && r.URL.Host == hostName {
		p.askHost(w, r)
		return
	}
	began := time.Now()
	target := r.Host
	if r.Method != http.MethodConnect {
		if !r.URL.IsAbs() || r.URL.Scheme != "http" {
			http.Error(w, "invalid request to a proxy: use CONNECT", http.StatusBadRequest)
			return
		}
		if target = r.URL.Host; r.URL.Port() == "" {
			target += ":80"
		}
	}
	if len(target) > targetMax {
		p.deny(w, r, target[:targetMax], began, fault.New(fault.Blocked, "the name of the host is longer than one can be"))
		return
	}
	if r.Method != http.MethodConnect && (p.options.CheckURL == nil || p.options.CheckURL("http://"+target) != nil) {
		p.deny(w, r, target, began, fault.New(fault.Blocked, "plain http is not allowed to this address: use https"))
		return
	}
	release, f := p.permits.acquire()
	if f != nil {
		p.deny(w, r, target, began, f)
		return
	}
	defer release()
	conn, f := p.dial(r.Context(), target)
	if f != nil {
		p.deny(w, r, target, began, f)
		return
	}
	defer conn.Close()
	if r.Method == http.MethodConnect {
		p.tunnel(w, r, conn, target, began)
		return
	}
	p.forward(w, r, conn, target, began)
}

// Connects reports whether a bot's list of connections allows one to a target, host:port. Entries are hosts, which allow
// each port, or host:port; nil allows everything, and an empty list nothing.
func Connects(connections []string, target string) bool {
	host, _, err := net.SplitHostPort(target)
	return connections == nil || err == nil && slices.ContainsFunc(connections, func(entry string) bool {
		return strings.EqualFold(entry, target) || strings.EqualFold(strings.Trim(entry, "[]"), host)
	})
}

// NotListed is the fault of a connection that the bot's list does not allow.
func NotListed(target string) *fault.Fault {
	return fault.New(fault.Blocked, "the key connections of this bot does not list %s", target)
}

func (p *proxy) dial(ctx context.Context, target string) (net.Conn, *fault.Fault) {
	if p.options.Dial == nil {
		return nil, fault.New(fault.Blocked, "network access of scripts is disabled")
	}
	if !Connects(p.job.Connections, target) {
		return nil, NotListed(target)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := p.options.Dial(ctx, "tcp", target)
	return conn, fault.Of(err)
}

// tunnel copies bytes until both sides have ended. When a side breaks the connection, or the run's bytes are used up, both
// sides are reset: a normal close would make a partial answer look complete.
func (p *proxy) tunnel(w http.ResponseWriter, r *http.Request, conn net.Conn, target string, began time.Time) {
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	stop := context.AfterFunc(r.Context(), func() { _ = client.Close(); _ = conn.Close() })
	defer stop()
	if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	var up, down int64
	var both sync.WaitGroup
	pass := func(passed *int64, to net.Conn, from io.Reader, total *atomic.Int64) {
		var err error
		if *passed, err = p.pass(to, from, total); err != nil {
			reset(client)
			reset(conn)
			return
		}
		half(to)
	}
	both.Go(func() {
		pass(&up, conn, io.MultiReader(io.LimitReader(buffered, int64(buffered.Reader.Buffered())), client), &p.up)
	})
	both.Go(func() { pass(&down, client, conn, &p.down) })
	both.Wait()
	p.audit(target, conn.RemoteAddr(), up, down, began)
}

// forward sends one plain HTTP request. It aborts an answer that breaks off or exceeds the run's bytes.
func (p *proxy) forward(w http.ResponseWriter, r *http.Request, conn net.Conn, target string, began time.Time) {
	out := r.Clone(r.Context())
	out.RequestURI = ""
	for name := range out.Header {
		if strings.HasPrefix(name, "Proxy-") {
			delete(out.Header, name)
		}
	}
	up := &counted{from: r.Body, total: &p.up}
	out.Body = up
	transport := &http.Transport{
		DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10, DisableCompression: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil },
	}
	answer, err := transport.RoundTrip(out)
	if err != nil {
		if errors.Is(err, errShare) {
			p.deny(w, r, target, began, fault.New(fault.TooLarge, "%s", errShare))
			return
		}
		p.deny(w, r, target, began, fault.Wrap(fault.Reset, err, "the host did not answer"))
		return
	}
	defer answer.Body.Close()
	maps.Copy(w.Header(), answer.Header)
	w.WriteHeader(answer.StatusCode)
	down, err := p.pass(w, answer.Body, &p.down)
	p.audit(target, conn.RemoteAddr(), up.passed.Load(), down, began)
	if err != nil {
		panic(http.ErrAbortHandler) // aborts the connection in the middle of the answer
	}
}

// errShare reports that a run has used up its bytes.
var errShare = errors.New("a run can transfer at most 8 MiB in each direction")

// counted is a request body that counts against the run's bytes.
type counted struct {
	from   io.ReadCloser
	total  *atomic.Int64
	passed atomic.Int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.from.Read(b)
	c.passed.Add(int64(n))
	if c.total.Add(int64(n)) > bytesMax {
		return 0, errShare
	}
	return n, err
}

func (c *counted) Close() error { return c.from.Close() }

// pass copies until the end of the stream, and returns an error when a side breaks off or the run's bytes are used up.
func (p *proxy) pass(to io.Writer, from io.Reader, total *atomic.Int64) (passed int64, err error) {
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if total.Add(int64(n)) > bytesMax {
				return passed, errShare
			}
			written, writeErr := to.Write(buffer[:n])
			passed += int64(written)
			if writeErr != nil {
				return passed, writeErr
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return passed, nil
		case err != nil:
			return passed, err
		}
	}
}

// half closes the direction that has ended.
func half(conn net.Conn) {
	if tcp, ok := conn.(interface{ CloseWrite() error }); ok && tcp.CloseWrite() == nil {
		return
	}
	_ = conn.Close()
}

// reset closes a connection with a reset, so that the other side sees an error.
func reset(conn net.Conn) {
	if tcp, ok := conn.(interface{ SetLinger(seconds int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// deny rejects a connection. The script decides how often and by which name: the first ones are logged, of the rest their
// number.
func (p *proxy) deny(w http.ResponseWriter, r *http.Request, target string, began time.Time, f *fault.Fault) {
	if p.denied.Add(1) <= deniedLogged {
		p.options.Log.WarnContext(r.Context(), "script connection denied", "tenant", p.job.Tenant, "bot", p.job.Bot,
			"step", p.job.Step, "event", p.job.EventID, "host", target, "kind", f.Kind, "error", f.Message,
			"cause", errors.Unwrap(f), "duration_ms", time.Since(began).Milliseconds(), "trace_id", p.job.TraceID)
	}
	status := http.StatusBadGateway
	if f.Kind == fault.Blocked || f.Kind == fault.RateLimited || f.Kind == fault.TooLarge || f.Kind == fault.Config {
		status = http.StatusForbidden
	}
	if http.NewResponseController(w).SetReadDeadline(time.Now().Add(hostCallTimeout)) == nil {
		p.discard(r)
	}
	w.Header().Set("Connection", "close") // a client would wait for the end of the denied tunnel otherwise
	http.Error(w, string(f.Kind)+": "+f.Message, status)
}

// audit logs one line for every connection.
func (p *proxy) audit(target string, address net.Addr, up, down int64, began time.Time) {
	p.options.Log.Info("script connection closed", "tenant", p.job.Tenant, "bot", p.job.Bot, "step", p.job.Step,
		"event", p.job.EventID, "host", target, "address", address.String(), "bytes_up", up,
		"bytes_down", down, "duration_ms", time.Since(began).Milliseconds(), "trace_id", p.job.TraceID)
}
