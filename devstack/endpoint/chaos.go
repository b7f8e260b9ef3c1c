package endpoint

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

// chaosPatience bounds every behaviour that would otherwise go on until its caller leaves.
const chaosPatience = 40 * time.Second

// chaos are the ways in which endpoints go wrong on the wire, by the name under /chaos/.
var chaos = map[string]func(conn net.Conn){
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

// Chaos lists the names of the behaviours under /chaos/, in a fixed order.
func Chaos() []string {
	var names []string
	for name := range chaos {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// addChaos adds the routes that break the connection, and those that only answer oddly.
func (e *Endpoint) addChaos(routes *http.ServeMux) {
	for name, behave := range chaos {
		routes.HandleFunc("POST /chaos/"+name, func(w http.ResponseWriter, _ *http.Request) { e.take(w, behave) })
	}
	routes.HandleFunc("POST /chaos/redirect", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/chaos/redirect")
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	routes.HandleFunc("POST /chaos/busy", (&oddPauses{}).serve)
	routes.HandleFunc("POST /chaos/flap", e.flap)
}

// take runs a behaviour on the raw connection, and resets the connection afterwards.
func (e *Endpoint) take(w http.ResponseWriter, behave func(net.Conn)) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "the connection cannot be taken: "+err.Error(), http.StatusInternalServerError)
		return
	}
	forget := e.keep(conn)
	defer forget()
	_ = conn.SetDeadline(time.Now().Add(chaosPatience))
	behave(conn)
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// keep remembers a taken connection, which the server knows no more, so that Stop can cut it.
func (e *Endpoint) keep(conn net.Conn) (forget func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.taken[conn] = struct{}{}
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.taken, conn)
	}
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
	for _, b := range []byte(text) {
		if _, err := conn.Write([]byte{b}); err != nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
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

// oddPauses answers 429 with one odd Retry-After after the other.
type oddPauses struct {
	mu sync.Mutex
	n  int
}

var retryAfters = []string{
	"", "0", "-5", "soon", "1.5", "1e9", "999999999999999999999", "Thu, 01 Jan 1970 00:00:00 GMT", "  1", "1, 2",
	"Fri, 31 Dec 9999 23:59:59 GMT", "\u0661",
}

func (o *oddPauses) serve(w http.ResponseWriter, _ *http.Request) {
	o.mu.Lock()
	value := retryAfters[o.n%len(retryAfters)]
	o.n++
	o.mu.Unlock()
	w.Header().Set("Retry-After", value)
	w.WriteHeader(http.StatusTooManyRequests)
}

// flap is up for one second and down for the next.
func (e *Endpoint) flap(w http.ResponseWriter, _ *http.Request) {
	if time.Now().Unix()%2 == 0 {
		Text("Up, for now.").Send(w, http.StatusOK)
		return
	}
	e.take(w, chaos["reset"])
}
