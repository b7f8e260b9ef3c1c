package egress

import (
	"sync"
	"testing"
)

// arrivals notes on which connections the requests of a server came.
type arrivals struct {
	mu   sync.Mutex
	from []string
}

// add notes a request by the address of its client, and returns the number of requests.
func (a *arrivals) add(from string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.from = append(a.from, from)
	return len(a.from)
}

func (a *arrivals) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.from)
}

// kept reports whether the first n requests came on one connection.
func (a *arrivals) kept(n int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.from) < n {
		return false
	}
	for _, from := range a.from[:n] {
		if from != a.from[0] {
			return false
		}
	}
	return true
}

// untilKept sends requests to a new server with a new client, up to ten times, until the first n have come on one connection,
// and then checks what came of them. net/http keeps a connection only when its goroutine that writes has reported within 50 ms
// of the response, which it does not on a machine that stops.
func untilKept(t *testing.T, n int, send func(requests *arrivals) (check func())) {
	t.Helper()
	for range 10 {
		requests := &arrivals{}
		check := send(requests)
		if requests.kept(n) {
			check()
			return
		}
	}
	t.Fatal("no connection was used again")
}
