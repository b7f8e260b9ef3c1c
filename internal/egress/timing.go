package egress

import (
	"context"
	"crypto/tls"
	"math"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/hookturn/hookturn/schemas"
)

// progress records the events of an attempt and their times. The transport's goroutines write it, some of them after the
// attempt has ended (a connection that is still being made goes into the pool), hence the lock.
type progress struct {
	start time.Time

	mu             sync.Mutex
	dnsStart, dns  time.Time
	dialStart      time.Time
	dial           time.Time
	tlsStart, tls  time.Time
	firstByte      time.Time
	handshakeError bool
	noCertificate  bool // the endpoint asked for a client certificate, and there is none to show
	reused         bool
	conn           *countedConn // of HTTP/1
	readBefore     int64        // bytes that the connection had read when this attempt got it
}

func (p *progress) trace(ctx context.Context) context.Context {
	at := func(t *time.Time) {
		p.mu.Lock()
		defer p.mu.Unlock()
		*t = time.Now()
	}
	ctx = context.WithValue(ctx, progressKey{}, p)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart: func(httptrace.DNSStartInfo) { at(&p.dnsStart) },
		DNSDone:  func(httptrace.DNSDoneInfo) { at(&p.dns) },
		ConnectStart: func(string, string) { // once for each address that is tried, side by side
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.dialStart.IsZero() {
				p.dialStart = time.Now()
			}
		},
		ConnectDone:       func(string, string, error) { at(&p.dial) },
		TLSHandshakeStart: func() { at(&p.tlsStart) },
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.tls, p.handshakeError = time.Now(), err != nil
		},
		GotConn:              p.gotConn,
		GotFirstResponseByte: func() { at(&p.firstByte) },
	})
}

// progressKey is the context key of the progress of the attempt for which a connection is made.
type progressKey struct{}

// askedForCertificate sends no certificate to an endpoint that requests one, and records that. When the endpoint then
// closes the connection, this was the reason: a client that is still writing may never read the alert.
func askedForCertificate(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	if p, ok := info.Context().Value(progressKey{}).(*progress); ok {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.noCertificate = true
	}
	return &tls.Certificate{}, nil
}

func (p *progress) missedCertificate() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.noCertificate
}

// gotConn counts the bytes of HTTP/1 only: an HTTP/2 connection carries the bytes of many attempts.
func (p *progress) gotConn(info httptrace.GotConnInfo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reused = info.Reused
	conn := info.Conn
	if secure, ok := conn.(*tls.Conn); ok {
		if secure.ConnectionState().NegotiatedProtocol == "h2" {
			return
		}
		conn = secure.NetConn()
	}
	if counted, ok := conn.(*countedConn); ok {
		p.conn, p.readBefore = counted, counted.read.Load()
	}
}

// handshakeFailed reports whether the attempt's own TLS handshake failed.
func (p *progress) handshakeFailed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.handshakeError
}

func (p *progress) answered() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.firstByte.IsZero()
}

// received returns the number of bytes that the connection received since this attempt uses it.
func (p *progress) received() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == nil {
		return 0
	}
	return p.conn.read.Load() - p.readBefore
}

// ended reports whether the attempt's connection was closed by the peer.
func (p *progress) ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conn != nil && p.conn.ended.Load()
}

// fill writes the timings into the record. A reused connection has no DNS lookup, connect or handshake.
func (p *progress) fill(a *schemas.Attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reused {
		a.DNSMs = millis(p.dnsStart, p.dns)
		a.ConnectMs = millis(p.dialStart, p.dial)
		a.TLSMs = millis(p.tlsStart, p.tls)
	}
	a.FirstByteMs = millis(p.start, p.firstByte)
	a.TotalMs = millis(p.start, time.Now())
}

// millis returns the time between two moments in milliseconds, rounded to microseconds; 0 when one of them is missing.
func millis(from, to time.Time) float64 {
	if from.IsZero() || to.Before(from) {
		return 0
	}
	return math.Round(float64(to.Sub(from).Nanoseconds())/1e3) / 1e3
}
