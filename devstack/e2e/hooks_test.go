package e2e

import (
	"io"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// hooks are the responses that the stories configured for the endpoint, by path.
type hooks struct {
	mu      sync.Mutex
	answers map[string][]string
	headers map[string]http.Header
	delays  map[string]time.Duration
	held    map[string]chan struct{} // closed when the responses are sent
}

func newHooks() *hooks {
	return &hooks{
		answers: map[string][]string{}, headers: map[string]http.Header{}, delays: map[string]time.Duration{},
		held: map[string]chan struct{}{},
	}
}

func (h *hooks) set(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

// serve sends the n-th response to the n-th attempt of a step, and the last one to all further attempts.
func (h *hooks) serve(p string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		attempt, _ := strconv.Atoi(r.Header.Get("hookturn-attempt"))
		h.mu.Lock()
		answers, header, delay, held := h.answers[p], h.headers[p], h.delays[p], h.held[p]
		h.mu.Unlock()
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
			return
		}
		if held != nil {
			select {
			case <-held:
			case <-r.Context().Done():
				return
			}
		}
		answer := answers[min(max(attempt, 1), len(answers))-1]
		maps.Copy(w.Header(), header)
		if status, err := strconv.Atoi(answer); err == nil {
			w.WriteHeader(status)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	}
}

func (s *scripts) answer(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2)
	var answers []string
	for _, what := range args[1:] {
		if _, err := strconv.Atoi(what); err == nil {
			answers = append(answers, what)
		} else {
			answers = append(answers, ts.ReadFile(what))
		}
	}
	s.hooks.set(func() { s.hooks.answers[path(ts, args[0])] = answers })
	s.samples.Handle(path(ts, args[0]), s.hooks.serve(path(ts, args[0])))
}

func (s *scripts) header(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 3)
	s.hooks.set(func() { s.hooks.headers[path(ts, args[0])] = http.Header{args[1]: {args[2]}} })
}

func (s *scripts) slow(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2)
	d, err := time.ParseDuration(args[1])
	ts.Check(err)
	s.hooks.set(func() { s.hooks.delays[path(ts, args[0])] = d })
}

func (s *scripts) hold(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 1)
	s.hooks.set(func() { s.hooks.held[path(ts, args[0])] = make(chan struct{}) })
}

func (s *scripts) open(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 1)
	if len(args) > 1 {
		after, err := time.ParseDuration(args[1])
		ts.Check(err)
		<-time.After(after)
	}
	s.hooks.set(func() {
		held, is := s.hooks.held[path(ts, args[0])]
		if !is {
			ts.Fatalf("%s is not held", args[0])
		}
		close(held)
		delete(s.hooks.held, path(ts, args[0]))
	})
}
