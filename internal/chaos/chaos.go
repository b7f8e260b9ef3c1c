// Package chaos is an endpoint that goes wrong on the wire in every way that endpoints do, so that clients can be tried
// against it. It serves tests and "starter chaos", and never runs in a process of an installation.
package chaos

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Patience bounds every behaviour that would otherwise continue until its caller leaves.
const Patience = 40 * time.Second

// behaviours are the ways in which endpoints go wrong on the wire, by name.
var behaviours = map[string]func(conn net.Conn){
	"reset":        func(net.Conn) {},
	"reset-head":   func(c net.Conn) { say(c, "HTTP/1.1 200 OK\r\nContent-Type: applica") },
	"reset-body":   func(c net.Conn) { say(c, head("Content-Length: 1000")+`{"response":["half`) },
	"short-body":   func(c net.Conn) { say(c, head("Content-Length: 1000")+`{"response":["ok"]}`); hangUp(c) },
	"long-body":    func(c net.Conn) { say(c, head("Content-Length: 5")+`{"response":["ok"]}`); hangUp(c) },
	"garbage":      func(c net.Conn) { say(c, "SSH-2.0-OpenSSH_9.6\r\n"+strings.Repeat("\x00\xff", 500)); hangUp(c) },
	"silent":       untilGone,
	"drip":         drip,
	"drip-head":    dripHead,
	"endless-body": endlessBody,
	"endless-headers": func(c net.Conn) {
		say(c, "HTTP/1.1 200 OK\r\n")
		repeat(c, "X-More: "+strings.Repeat("a", 4000)+"\r\n")
	},
	"endless-header": func(c net.Conn) { say(c, "HTTP/1.1 200 OK\r\nX-Long: "); repeat(c, strings.Repeat("a", 4096)) },
	"gzip-bomb":      gzipBomb,
	"hints":          hints,
	"endless-hints":  func(c net.Conn) { repeat(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n") },
	"switch": func(c net.Conn) {
		say(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
	},
	"bad-chunk":   func(c net.Conn) { say(c, head("Transfer-Encoding: chunked")+"zz\r\nno number\r\n"); hangUp(c) },
	"two-lengths": func(c net.Conn) { say(c, head("Content-Length: 2", "Content-Length: 3")+"{}\n"); hangUp(c) },
}

// Names lists the behaviours, in a fixed order.
func Names() []string {
	var names []string
	for name := range behaviours {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Run runs a behaviour on a raw connection, and resets the connection afterwards.
func Run(name string, conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(Patience))
	behaviours[name](conn)
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// Redirect answers with a redirect to itself.
func Redirect(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Location", r.URL.Path)
	w.WriteHeader(http.StatusTemporaryRedirect)
}

// head begins a good answer.
func head(fields ...string) string {
	return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + strings.Join(fields, "\r\n") + "\r\n\r\n"
}

func say(conn net.Conn, text string) { _, _ = io.WriteString(conn, text) }

// repeat writes a text until the caller closes the connection.
func repeat(conn net.Conn, text string) {
	for {
		if _, err := io.WriteString(conn, text); err != nil {
			return
		}
	}
}

// hangUp ends the connection properly: the caller reads what was said, then its end.
func hangUp(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
	untilGone(conn)
}

// untilGone waits until the caller leaves.
func untilGone(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// drip sends a good answer, a byte every 50 ms.
func drip(conn net.Conn) {
	body := `{"response":["` + strings.Repeat("drip ", 200) + `"]}`
	say(conn, head(fmt.Sprintf("Content-Length: %d", len(body))))
	slowly(conn, body)
}

func dripHead(conn net.Conn) {
	slowly(conn, head("Content-Length: 2", "X-Pad: "+strings.Repeat("a", 800))+"{}")
}

func slowly(conn net.Conn, text string) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	<-pause.C
	for _, b := range []byte(text) {
		if _, err := conn.Write([]byte{b}); err != nil {
			return
		}
		pause.Reset(50 * time.Millisecond)
		<-pause.C
	}
}

// endlessBody is one JSON string that never ends.
func endlessBody(conn net.Conn) {
	say(conn, head("Transfer-Encoding: chunked")+"e\r\n{\"response\":[\"\r\n")
	repeat(conn, "1000\r\n"+strings.Repeat("a", 0x1000)+"\r\n")
}

// bomb is a gibibyte of zeros as a mebibyte of gzip: a thousand times one member.
var bomb = sync.OnceValue(func() []byte {
	var member bytes.Buffer
	w := gzip.NewWriter(&member)
	_, _ = w.Write(make([]byte, 1<<20))
	_ = w.Close()
	return bytes.Repeat(member.Bytes(), 1024)
})

func gzipBomb(conn net.Conn) {
	say(conn, head("Content-Encoding: gzip", fmt.Sprintf("Content-Length: %d", len(bomb()))))
	_, _ = conn.Write(bomb())
	hangUp(conn)
}

// hints sends a thousand informational responses, then the answer.
func hints(conn net.Conn) {
	w := bufio.NewWriter(conn)
	for range 1000 {
		_, _ = w.WriteString("HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
	}
	body := `{"response":["at last"]}`
	_, _ = w.WriteString(head(fmt.Sprintf("Content-Length: %d", len(body))) + body)
	_ = w.Flush()
	hangUp(conn)
}

// Busy answers 429 with one odd Retry-After after the other.
type Busy struct {
	mu sync.Mutex
	n  int
}

var retryAfters = []string{
	"", "0", "-5", "soon", "1.5", "1e9", "999999999999999999999", "Thu, 01 Jan 1970 00:00:00 GMT", "  1", "1, 2",
	"Fri, 31 Dec 9999 23:59:59 GMT", "\u0661",
}

func (o *Busy) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	o.mu.Lock()
	value := retryAfters[o.n%len(retryAfters)]
	o.n++
	o.mu.Unlock()
	w.Header().Set("Retry-After", value)
	w.WriteHeader(http.StatusTooManyRequests)
}
