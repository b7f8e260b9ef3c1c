package console

import (
	"crypto/rand"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hookturn/hookturn/internal/httpapi"
)

// Bounds of sessions.
const (
	sessionTime = 12 * time.Hour
	// sessionsMax bounds the sessions of all operators, tokenSessionsMax those of one token. The oldest ends first.
	sessionsMax      = 1000
	tokenSessionsMax = 16
	// formsMax bounds the forms of a session that are not sent yet. The oldest is not accepted any more.
	formsMax = 32
)

// session is a browser in which an operator has logged in.
type session struct {
	token   httpapi.Digest // of the operator; looked up again at each request
	name    string         // of the operator at the login
	csrf    string         // must be part of each form
	began   time.Time
	expires time.Time
	forms   []string // one-time values of the forms that are not sent yet, oldest first
}

// sessions are the sessions of this process, by the digest of their id. A process that starts again has none.
type sessions struct {
	mu      sync.Mutex
	byID    map[httpapi.Digest]*session
	notices map[httpapi.Digest]string // what the next page of a session shows once
}

func newSessions() *sessions {
	return &sessions{byID: map[httpapi.Digest]*session{}, notices: map[httpapi.Digest]string{}}
}

// begin returns the id of a new session.
func (s *sessions) begin(token httpapi.Digest, name string, now time.Time) string {
	id := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, one := range s.byID {
		if !now.Before(one.expires) {
			s.remove(key)
		}
	}
	s.makeRoom(tokenSessionsMax, func(one *session) bool { return one.token == token })
	s.makeRoom(sessionsMax, func(*session) bool { return true })
	s.byID[httpapi.DigestOf(id)] = &session{
		token: token, name: name, csrf: rand.Text(), began: now, expires: now.Add(sessionTime),
	}
	return id
}

// makeRoom ends the oldest of the sessions that are counted, when there are as many as there may be.
func (s *sessions) makeRoom(most int, counted func(*session) bool) {
	var oldest httpapi.Digest
	n := 0
	for key, one := range s.byID {
		if !counted(one) {
			continue
		}
		if n++; n == 1 || one.began.Before(s.byID[oldest].began) {
			oldest = key
		}
	}
	if n >= most {
		s.remove(oldest)
	}
}

// find returns the session of an id; nil when there is none, or it has expired.
func (s *sessions) find(id string, now time.Time) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := httpapi.DigestOf(id)
	one := s.byID[key]
	if one != nil && !now.Before(one.expires) {
		s.remove(key)
		return nil
	}
	return one
}

// end ends a session.
func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(httpapi.DigestOf(id))
}

func (s *sessions) remove(key httpapi.Digest) {
	delete(s.byID, key)
	delete(s.notices, key)
}

// newForm returns the one-time value of a new form of a session.
func (s *sessions) newForm(id string) string {
	value := rand.Text()
	s.returnForm(id, value)
	return value
}

// takeForm takes the one-time value of a form that was sent, and reports whether the form is one of the session that was not
// sent before.
func (s *sessions) takeForm(id, value string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.byID[httpapi.DigestOf(id)]
	if one == nil {
		return false
	}
	at := slices.Index(one.forms, value)
	if at < 0 {
		return false
	}
	one.forms = slices.Delete(one.forms, at, at+1)
	return true
}

// returnForm makes a form of a session one that is not sent yet.
func (s *sessions) returnForm(id, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.byID[httpapi.DigestOf(id)]; one != nil {
		one.forms = append(one.forms[max(0, len(one.forms)-formsMax+1):], value)
	}
}

// notify keeps a text for the next page of a session.
func (s *sessions) notify(id, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if key := httpapi.DigestOf(id); s.byID[key] != nil {
		s.notices[key] = text
	}
}

// notice returns the text for the next page of a session, once.
func (s *sessions) notice(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := httpapi.DigestOf(id)
	text := s.notices[key]
	delete(s.notices, key)
	return text
}

// Bounds of failed logins.
const (
	failuresMax    = 10 // of one address in a window
	failuresWindow = 10 * time.Minute
	// addressesMax bounds the addresses that are counted. The one whose window ends first is not counted any more.
	addressesMax = 1000
	// networkBits is the part of an IPv6 address that is counted as one: a client has a whole /64.
	networkBits = 64
)

// failures counts failed logins by the address of the client.
type failures struct {
	mu sync.Mutex
	of map[netip.Prefix]*failureWindow
}

type failureWindow struct {
	n    int
	ends time.Time
}

// blocked reports whether an address has failed too often to try again now.
func (f *failures) blocked(addr netip.Addr, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.of[networkOf(addr)]
	return w != nil && now.Before(w.ends) && w.n >= failuresMax
}

// add counts a failed login.
func (f *failures) add(addr netip.Addr, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of == nil {
		f.of = map[netip.Prefix]*failureWindow{}
	}
	key := networkOf(addr)
	w := f.of[key]
	if w == nil {
		f.makeRoom(now)
	}
	if w == nil || !now.Before(w.ends) {
		w = &failureWindow{ends: now.Add(failuresWindow)}
		f.of[key] = w
	}
	w.n++
}

// makeRoom deletes the windows that are over when as many addresses are counted as may be, and the one that ends first when
// none is.
func (f *failures) makeRoom(now time.Time) {
	if len(f.of) < addressesMax {
		return
	}
	var first netip.Prefix
	var ends time.Time
	for key, w := range f.of {
		if !now.Before(w.ends) {
			delete(f.of, key)
		}
		if ends.IsZero() || w.ends.Before(ends) {
			first, ends = key, w.ends
		}
	}
	delete(f.of, first)
}

// networkOf returns by what an address is counted: itself, or its network.
func networkOf(addr netip.Addr) netip.Prefix {
	bits := addr.BitLen()
	if addr.Is6() && !addr.Is4In6() {
		bits = networkBits
	}
	network, _ := addr.Prefix(bits) // an invalid address is the zero prefix
	return network
}
