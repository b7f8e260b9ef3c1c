package endpoint

import (
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// LedgerSizeDefault is how many requests a ledger holds when the options do not say.
const LedgerSizeDefault = 10_000

// Entry is one request. Body and Header are shared by all copies: read them only.
type Entry struct {
	// In and Out are when the request came and when its answer was ready. Out is zero while it is being served.
	In, Out time.Time

	Method string
	Path   string
	Query  url.Values
	Header http.Header
	// Body is what was sent, at most bodyKept bytes of it; Size is how long it was.
	Body []byte
	Size int

	// WebhookID and Attempt come from the headers webhook-id and hookturn-attempt.
	WebhookID string
	Attempt   int

	// Step, User and ConversationNo come from the body, where it is JSON that has them; Conversation is the key made of
	// them, see ConversationKey.
	Step           string
	User           string
	ConversationNo int
	Conversation   string

	// Status is the answer's; 0 when the connection was cut instead. Gone reports that the caller did not wait for it.
	Status int
	Gone   bool
}

// Ledger records requests in the order in which they came. It is safe for concurrent use.
type Ledger struct {
	mu      sync.Mutex
	size    int
	entries []*Entry
	dropped int
}

func newLedger(size int) *Ledger {
	if size <= 0 {
		size = LedgerSizeDefault
	}
	return &Ledger{size: size}
}

// begin records a request that has come and returns the function that records its end.
func (l *Ledger) begin(entry Entry) (end func(status int, gone bool)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	entry.In = time.Now()
	l.entries = append(l.entries, &entry)
	if len(l.entries) > l.size {
		l.entries[0] = nil // Its memory is free before the slice is copied to a new array.
		l.entries = l.entries[1:]
		l.dropped++
	}
	return func(status int, gone bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		entry.Out, entry.Status, entry.Gone = time.Now(), status, gone
	}
}

// Select returns copies of the entries that match, oldest first.
func (l *Ledger) Select(match func(Entry) bool) []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []Entry
	for _, entry := range l.entries {
		if match(*entry) {
			found = append(found, *entry)
		}
	}
	return found
}

// All returns every entry.
func (l *Ledger) All() []Entry { return l.Select(func(Entry) bool { return true }) }

// ByPath returns the requests to a path.
func (l *Ledger) ByPath(path string) []Entry {
	return l.Select(func(e Entry) bool { return e.Path == path })
}

// ByConversation returns the requests of one conversation; the key is what ConversationKey makes, or the subject of a
// CloudEvent.
func (l *Ledger) ByConversation(key string) []Entry {
	return l.Select(func(e Entry) bool { return e.Conversation == key })
}

// ByWebhookID returns the attempts that carry one webhook-id.
func (l *Ledger) ByWebhookID(id string) []Entry {
	return l.Select(func(e Entry) bool { return e.WebhookID == id })
}

// Len is the number of requests that the ledger holds.
func (l *Ledger) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.entries)
}

// Dropped is how many requests the ledger had no room for. A test that counts requests should see that it is 0.
func (l *Ledger) Dropped() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped
}

// Reset forgets everything. Requests that are being served are not recorded when they end.
func (l *Ledger) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries, l.dropped = nil, 0
}

// PerConversation and PerPath are keys for MaxOverlap.
func PerConversation(e Entry) string { return e.Conversation }

// PerPath groups requests by path.
func PerPath(e Entry) string { return e.Path }

// MaxOverlap is the largest number of requests with the same key that were served at the same time. Requests with an
// empty key do not count. With PerConversation, 1 means that no conversation had two steps under way at once.
func (l *Ledger) MaxOverlap(key func(Entry) string) int {
	type edge struct {
		at    time.Time
		delta int
	}
	edges := map[string][]edge{}
	for _, e := range l.All() {
		k := key(e)
		if k == "" {
			continue
		}
		edges[k] = append(edges[k], edge{e.In, +1})
		if !e.Out.IsZero() {
			edges[k] = append(edges[k], edge{e.Out, -1})
		}
	}
	most := 0
	for _, of := range edges {
		slices.SortFunc(of, func(a, b edge) int {
			if order := a.at.Compare(b.at); order != 0 {
				return order
			}
			return a.delta - b.delta // One that ends in the moment when another comes does not overlap it.
		})
		now := 0
		for _, e := range of {
			now += e.delta
			most = max(most, now)
		}
	}
	return most
}
