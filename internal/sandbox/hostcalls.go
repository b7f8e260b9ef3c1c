package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/hookturn/hookturn/internal/fault"
)

// Limits of the requests of one run to hookturn. The worker keeps a request in memory until it is answered.
const (
	hostCallsMax    = 100     // over the whole run
	hostCallsAtOnce = 8       // further ones are answered with 429
	hostCallMax     = 2 << 20 // bytes of a request
	hostCallTimeout = 5 * time.Second
	discardsMax     = 100 // requests of a run that are rejected and read; further ones end with a reset
)

// hostName is the name of the worker for the module hookturn. It does not contain a dot, so it is not a name of the
// internet.
const hostName = "hookturn"

// hostCalls counts the requests of a run to hookturn.
type hostCalls struct{ made, alive atomic.Int64 }

// acquire returns a permit for a request, or a fault that names the limit.
func (c *hostCalls) acquire() (release func(), f *fault.Fault) {
	release = func() { c.alive.Add(-1) }
	switch alive := c.alive.Add(1); {
	case c.made.Add(1) > hostCallsMax:
		f = fault.New(fault.RateLimited, "a run calls hookturn at most %d times", hostCallsMax)
	case alive > hostCallsAtOnce:
		f = fault.New(fault.RateLimited, "a run has at most %d calls of hookturn at a time: wait for one", hostCallsAtOnce)
	default:
		return release, nil
	}
	release()
	return nil, f
}

// askHost serves a request of the module hookturn, up to the limits of a run.
func (p *proxy) askHost(w http.ResponseWriter, r *http.Request) {
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(hostCallTimeout)); err != nil {
		answerHostCall(w, http.StatusInternalServerError, fault.Wrap(fault.Internal, err, "the call cannot be read"))
		return
	}
	if p.job.Host == nil {
		p.discard(r)
		w.Header().Set("Connection", "close")
		http.Error(w, "the module hookturn is not available to this script", http.StatusForbidden)
		return
	}
	release, f := p.hostCalls.acquire()
	if f != nil {
		p.discard(r)
		answerHostCall(w, http.StatusTooManyRequests, f)
		return
	}
	defer release()
	body, status, f := readHostCall(w, r)
	if f != nil {
		p.discard(r)
		answerHostCall(w, status, f)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	p.job.Host.ServeHTTP(w, r)
}

// discard reads the rest of a request that is rejected, up to hostCallMax bytes and the deadline of its connection. A client
// that is still sending when the connection is closed gets a reset instead of the response.
func (p *proxy) discard(r *http.Request) {
	if r.Body != http.NoBody && p.discards.Add(1) <= discardsMax {
		_, _ = io.CopyN(io.Discard, r.Body, hostCallMax)
	}
}

// readHostCall reads the body of a request until the deadline of its connection.
func readHostCall(w http.ResponseWriter, r *http.Request) (body []byte, status int, f *fault.Fault) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, hostCallMax))
	_, large := errors.AsType[*http.MaxBytesError](err)
	switch {
	case large:
		return nil, http.StatusRequestEntityTooLarge,
			fault.New(fault.TooLarge, "a call of hookturn has at most %d bytes", hostCallMax)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, http.StatusRequestTimeout,
			fault.New(fault.Timeout, "the call did not arrive within %s", hostCallTimeout)
	case err != nil:
		return nil, http.StatusBadRequest, fault.Wrap(fault.BadEvent, err, "the call cannot be read")
	}
	// The deadline of a connection also ends the request that is being answered.
	if err := http.NewResponseController(w).SetReadDeadline(time.Time{}); err != nil {
		return nil, http.StatusInternalServerError, fault.Wrap(fault.Internal, err, "the call cannot be read")
	}
	return body, http.StatusOK, nil
}

// answerHostCall answers a call that is not passed on, in the form that the module reads. Its body may be unread, so the
// connection ends with it.
func answerHostCall(w http.ResponseWriter, status int, f *fault.Fault) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Connection", "close")
	w.WriteHeader(status)
	text, err := json.Marshal(map[string]any{"kind": f.Kind, "detail": f.Message})
	if err != nil {
		return // two texts always have JSON
	}
	_, _ = w.Write(text) // a script that is gone needs no answer
}
