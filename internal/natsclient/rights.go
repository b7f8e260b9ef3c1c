package natsclient

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/loglimit"
)

// deniedLasts is how long a denied publication makes a process not ready when it is not repeated.
const deniedLasts = time.Minute

// rights ends the operations of one connection that the server denies, and records what it has denied.
type rights struct {
	log   *slog.Logger
	inbox string // subject prefix of responses

	mu            sync.Mutex
	ignored       string // subject whose denials are not recorded
	running       map[*operation]struct{}
	latest        *DeniedError // publication
	at            time.Time    // of latest
	subscriptions map[string]*DeniedError
	lines         loglimit.Limiter[struct{}]
}

// operation is a request that is under way, or several that follow each other.
type operation struct {
	rights *rights
	to     uses // without the prefix of the JetStream API
	stop   context.CancelCauseFunc
}

func newRights(log *slog.Logger) *rights {
	return &rights{log: log, running: map[*operation]struct{}{}, subscriptions: map[string]*DeniedError{}}
}

// rightsOf returns the rights of a connection of Connect, nil of any other.
func rightsOf(js jetstream.JetStream) *rights {
	if g, ok := js.(guardedJetStream); ok {
		return g.rights
	}
	return nil
}

// IgnoreDenials leaves denials of publishing to one subject out of Denied and of the log: the operation alone fails.
func IgnoreDenials(js jetstream.JetStream, subject string) {
	if r := rightsOf(js); r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ignored = subject
	}
}

// Denied returns what the server denies at present, as a DeniedError, nil for nothing: a subscription, or a publication of
// the last minute.
func Denied(js jetstream.JetStream) error { return rightsOf(js).denied() }

// ForgetDeniedCreation forgets that a stream could not be created, because another process has created it.
func ForgetDeniedCreation(js jetstream.JetStream) { rightsOf(js).forgetCreation() }

// begin registers an operation on subjects, which may have wildcards. Its context ends when one of them is denied.
// JetStream API subjects are without their prefix.
func (r *rights) begin(ctx context.Context, to uses) (context.Context, *operation) {
	if r == nil {
		return ctx, nil
	}
	ctx, stop := context.WithCancelCause(ctx)
	o := &operation{r, to, stop}
	r.mu.Lock()
	r.running[o] = struct{}{}
	denied := r.inboxDenied()
	r.mu.Unlock()
	if denied != nil {
		stop(denied)
	}
	return ctx, o
}

// end returns the error of the operation: the denial, if there was one.
func (o *operation) end(ctx context.Context, err error) error {
	if o == nil {
		return err
	}
	o.rights.mu.Lock()
	delete(o.rights.running, o)
	o.rights.mu.Unlock()
	return deniedOr(ctx, err)
}

// cancel frees the operation's context.
func (o *operation) cancel() {
	if o != nil {
		o.stop(nil)
	}
}

// deniedOr returns the denial that has ended the context of a failed operation, else the error of the operation.
func deniedOr(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if denied, ok := errors.AsType[*DeniedError](context.Cause(ctx)); ok {
		return denied
	}
	return err
}

// inboxDenied returns the denial of the subscription for responses. The library subscribes once for all requests.
func (r *rights) inboxDenied() *DeniedError {
	for _, denied := range r.subscriptions {
		if denied.Inbox {
			return denied
		}
	}
	return nil
}

// deniedSubject finds the subject in the text of a violation: the library does not report it in another form.
var deniedSubject = regexp.MustCompile(`(Publish to|Reply of|Subscription to) "([^"\s]+)"`)

// violation handles an error that the server has reported; false: it is about something else.
func (r *rights) violation(nc *nats.Conn, err error) bool {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return false
	}
	found := deniedSubject.FindStringSubmatch(err.Error())
	if found == nil {
		return false
	}
	denied := &DeniedError{Subject: found[2], User: UserOf(nc), Subscribe: found[1] == "Subscription to"}
	denied.Inbox = denied.Subscribe && strings.HasPrefix(denied.Subject, r.inbox+".")
	r.mu.Lock()
	defer r.mu.Unlock()
	for o := range r.running {
		if denied.Inbox || !denied.Subscribe && o.uses(denied.Subject) {
			o.stop(denied)
		}
	}
	if withoutAPIPrefix(denied.Subject) == r.ignored {
		return true
	}
	if denied.Subscribe {
		r.subscriptions[denied.Subject] = denied
	} else {
		r.latest, r.at = denied, time.Now()
	}
	if denials, due := r.lines.Due(struct{}{}, time.Now()); due {
		r.log.Warn("nats permission denied", "subject", denied.Subject, "user", denied.User, "denials", denials, "hint",
			denied.Error())
	}
	return true
}

// uses reports whether the operation sends to a subject.
func (o *operation) uses(subject string) bool {
	subject = withoutAPIPrefix(subject)
	for _, filter := range o.to() {
		if matchesSubject(withoutAPIPrefix(filter), subject) {
			return true
		}
	}
	return false
}

// withoutAPIPrefix returns a subject without the prefix of the JetStream API, with or without a domain.
func withoutAPIPrefix(subject string) string {
	if rest, found := strings.CutPrefix(subject, "$JS."); found {
		if _, api, found := strings.Cut("."+rest, ".API."); found {
			return api
		}
	}
	return subject
}

// matchesSubject reports whether a subject matches a filter.
func matchesSubject(filter, subject string) bool {
	for {
		want, filters, moreFilters := strings.Cut(filter, ".")
		have, subjects, moreSubjects := strings.Cut(subject, ".")
		switch {
		case want == ">":
			return true
		case want != "*" && want != have, moreFilters != moreSubjects && filters != ">":
			return false
		case !moreSubjects:
			return !moreFilters
		}
		filter, subject = filters, subjects
	}
}

// denied returns what the server denies at present, nil for nothing.
func (r *rights) denied() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if denied := r.inboxDenied(); denied != nil {
		return denied
	}
	for _, denied := range r.subscriptions {
		return denied
	}
	if r.latest != nil && time.Since(r.at) < deniedLasts {
		return r.latest
	}
	return nil
}

// reset forgets the denials of an earlier connection to a server: another one may permit more, and reports its own denials.
func (r *rights) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latest = nil
	clear(r.subscriptions)
}

// forgetCreation forgets denied creations of streams: another process has created them.
func (r *rights) forgetCreation() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.latest != nil && strings.HasPrefix(withoutAPIPrefix(r.latest.Subject), "STREAM.CREATE.") {
		r.latest = nil
	}
}
