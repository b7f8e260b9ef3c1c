package sandbox

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// cutting answers with a body that has no stated length and then breaks off, or does not, by the path.
func cutting(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/upload" {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%d %v", n, err)
		return
	}
	_, _ = io.WriteString(w, "half")
	_ = http.NewResponseController(w).Flush()
	switch r.URL.Path {
	case "/cut":
		panic(http.ErrAbortHandler)
	case "/endless":
		for {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	}
}

// TestProxy_CutAnswer asks for answers that break off: a script sees a failure, never a whole answer.
func TestProxy_CutAnswer(t *testing.T) {
	open := httptest.NewServer(http.HandlerFunc(cutting))
	defer open.Close()
	secure := httptest.NewTLSServer(http.HandlerFunc(cutting))
	defer secure.Close()
	raw := rawServer(t, "HTTP/1.0 200 OK\r\n\r\nhalf")
	dial, _ := outside(t, map[string]*httptest.Server{"shop.example:80": open, "shop.example:443": secure, "raw.example:80": raw})
	s := newSandbox(t, dial)
	const script = `
import requests, urllib.request
requests.packages.urllib3.disable_warnings()
def by_urllib(url):
    return len(urllib.request.urlopen(url).read())
def by_requests(url):
    return len(requests.get(url, verify=False).content)
def main(e, c):
    out = []
    for ask, url in %s:
        try:
            out.append(ask(url))
        except Exception as error:
            out.append("cut")
    return out
`
	for name, c := range map[string]struct{ asked, want string }{
		"plain, whole":       {`[(by_urllib, "http://shop.example/whole"), (by_requests, "http://shop.example/whole")]`, `[4, 4]`},
		"plain, cut":         {`[(by_urllib, "http://shop.example/cut"), (by_requests, "http://shop.example/cut")]`, `["cut", "cut"]`},
		"plain, too long":    {`[(by_requests, "http://shop.example/endless")]`, `["cut"]`},
		"plain, by its end":  {`[(by_urllib, "http://raw.example/"), (by_requests, "http://raw.example/")]`, `[4, 4]`},
		"TLS, whole":         {`[(by_requests, "https://shop.example/whole")]`, `[4]`},
		"TLS, cut":           {`[(by_requests, "https://shop.example/cut")]`, `["cut"]`},
		"TLS, too long":      {`[(by_requests, "https://shop.example/endless")]`, `["cut"]`},
		"all of them: whole": {`[(by_requests, "http://shop.example/cut"), (by_requests, "http://shop.example/whole")]`, `["cut", 4]`},
	} {
		t.Run(name, func(t *testing.T) {
			r, f := s.Run(t.Context(), job(fmt.Sprintf(script, c.asked)))
			require.Nil(t, f, r.Log)
			require.JSONEq(t, c.want, string(r.Value))
		})
	}
}

// TestTunnel_Cut has a script read from a tunnel whose far side breaks off, ends, or sends more than a run may have.
func TestTunnel_Cut(t *testing.T) {
	servers := map[string]*httptest.Server{
		"ends.example:443": rawServer(t, "half"), "cut.example:443": resetServer(t, "half"), "long.example:443": endlessServer(t),
	}
	dial, _ := outside(t, servers)
	s := newSandbox(t, dial)
	r, f := s.Run(t.Context(), job(`
import socket
def ask(host):
    s = socket.create_connection(("127.0.0.1", 3128))
    s.sendall(b"CONNECT %s:443 HTTP/1.1\r\nHost: %s:443\r\n\r\n" % (host, host))
    try:
        s.sendall(b"x")
        while s.recv(65536): pass
        return "end"
    except OSError as error:
        return type(error).__name__
def main(e, c):
    return [ask(h) for h in (b"ends.example", b"cut.example", b"long.example")]
`))
	require.Nil(t, f, r.Log)
	require.JSONEq(t, `["end", "ConnectionResetError", "ConnectionResetError"]`, string(r.Value))
}

// TestProxy_UploadShare sends more than a run may: neither in one request nor in several.
func TestProxy_UploadShare(t *testing.T) {
	open := httptest.NewServer(http.HandlerFunc(cutting))
	defer open.Close()
	dial, _ := outside(t, map[string]*httptest.Server{"shop.example:80": open})
	s := newSandbox(t, dial)
	r, f := s.Run(t.Context(), job(`
import requests
def main(e, c):
    out = []
    for _ in range(4):
        try:
            a = requests.post("http://shop.example/upload", data=bytes(3 << 20))
            out.append(a.text if a.ok else a.status_code)
        except requests.RequestException:
            out.append("cut")
    return out
`))
	require.Nil(t, f, r.Log)
	require.Contains(t, string(r.Value), `["3145728 <nil>", "3145728 <nil>", `)
	require.NotContains(t, string(r.Value)[len(`["3145728 <nil>", "3145728 <nil>", `):], "nil", "the third and the fourth pass the share")
}

// TestProxy_Permits denies connections and then opens the full number: a denied connection does not keep a permit, and the
// ninth at a time fails at once.
func TestProxy_Permits(t *testing.T) {
	held := endlessSilence(t)
	dial, _ := outside(t, map[string]*httptest.Server{"held.example:443": held})
	s := newSandbox(t, dial)
	r, f := s.Run(t.Context(), job(`
import socket
def ask(host):
    s = socket.create_connection(("127.0.0.1", 3128))
    s.settimeout(50)
    s.sendall(b"CONNECT %s:443 HTTP/1.1\r\nHost: %s:443\r\n\r\n" % (host, host))
    return s, s.recv(4096).split()[1].decode()
def main(e, c):
    blocked = [ask(b"10.0.0.1")[1] for _ in range(3)]
    held = [ask(b"held.example") for _ in range(12)]
    statuses = [status for _, status in held]
    for s, status in held:
        s.close()
    import time
    end = time.monotonic() + 50
    again = []
    while len(again) < 8 and time.monotonic() < end:
        s, status = ask(b"held.example")
        if status == "200":
            again.append(s)
        else:
            s.close()
    return [blocked, statuses, len(again)]
`))
	require.Nil(t, f, r.Log)
	require.JSONEq(t, `[["403","403","403"],
		["200","200","200","200","200","200","200","200","403","403","403","403"], 8]`, string(r.Value))
}

func rawServer(t *testing.T, text string) *httptest.Server {
	t.Helper()
	return connServer(t, func(conn *net.TCPConn) {
		_, _ = conn.Read(make([]byte, 1)) // an answer that comes before its request is an error
		_, _ = io.WriteString(conn, text)
		_ = conn.CloseWrite()
		_, _ = io.Copy(io.Discard, conn)
	})
}

func resetServer(t *testing.T, text string) *httptest.Server {
	t.Helper()
	return connServer(t, func(conn *net.TCPConn) {
		_, _ = io.WriteString(conn, text)
		_, _ = conn.Read(make([]byte, 1)) // the client writes first: the connection is open by then
		_ = conn.SetLinger(0)
	})
}

func endlessServer(t *testing.T) *httptest.Server {
	t.Helper()
	return connServer(t, func(conn *net.TCPConn) {
		for {
			if _, err := conn.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	})
}

func endlessSilence(t *testing.T) *httptest.Server {
	t.Helper()
	return connServer(t, func(conn *net.TCPConn) { _, _ = io.Copy(io.Discard, conn) })
}

// connServer serves connections as they come; only its listener is used.
func connServer(t *testing.T, serve func(conn *net.TCPConn)) *httptest.Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn.(*net.TCPConn))
			}()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	return &httptest.Server{Listener: listener}
}
