package bench

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// sink is the endpoint: it reads the request, waits for the row's delay and answers one text. It counts the requests that
// it gets twice, which have the same webhook-id.
type sink struct {
	listener net.Listener
	server   *http.Server
	delay    atomic.Int64 // nanoseconds
	served   atomic.Int64 // requests that have arrived
	repeated atomic.Int64 // those with an id that came before
	ids      sync.Map     // webhook-id to the time of the first request
}

// slowPath is the beginning of a path that ends with the time until its answer, as in /slow/5s.
const slowPath = "/slow/"

func startSink() (*sink, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &sink{listener: listener}
	s.server = &http.Server{Handler: http.HandlerFunc(s.answer), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.server.Serve(listener) }() // ends with stop
	return s, nil
}

func (s *sink) addr() string { return s.listener.Addr().String() }

func (s *sink) stop() { _ = s.server.Close() }

func (s *sink) answer(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	s.served.Add(1)
	if _, before := s.ids.LoadOrStore(r.Header.Get("Webhook-Id"), time.Now()); before {
		s.repeated.Add(1)
	}
	d := time.Duration(s.delay.Load())
	if slow, err := time.ParseDuration(strings.TrimPrefix(r.URL.Path, slowPath)); err == nil {
		d = slow
	}
	if d > 0 {
		time.Sleep(d)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"status":true,"response":["Your order is on its way."]}`)
}

// arrived returns when the first request of an event came.
func (s *sink) arrived(event string) (time.Time, bool) {
	value, _ := s.ids.Load(event)
	at, ok := value.(time.Time)
	return at, ok
}

// check fails when the endpoint got more requests twice than hookturn promises: one in a thousand steps, without a kill.
func (s *sink) check() error {
	if twice, all := s.repeated.Load(), s.served.Load(); twice*1000 > all {
		return fmt.Errorf("the endpoint got %d of %d requests twice", twice, all)
	}
	return nil
}
