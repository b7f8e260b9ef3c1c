package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// Wires carry what is told at once and stored nowhere: notices for whoever listens, and requests from one process to
// another.
type Wires struct {
	nc     guardedConn
	claims jetstream.KeyValue
}

// subjectSockets is where gateways take what is pushed to their connections.
const subjectSockets = "hookturn.sockets"

// NewWires opens the wires of a connection.
func NewWires(js jetstream.JetStream, s Streams) *Wires {
	return &Wires{nc: guardedConn{js.Conn()}, claims: s.claims}
}

// Notices calls heard for every notice of a bot whose class matches, with the class and the CloudEvents event, until stop is
// called. The words of class may be wildcards of NATS. Notices of one call are heard one after another.
func (w *Wires) Notices(owner schemas.BotID, class string, heard func(class string, notice []byte)) (stop func(), err error) {
	root := schemas.NoticeSubject(owner, "")
	s, err := w.nc.subscribe(root+class, func(m *nats.Msg) { heard(strings.TrimPrefix(m.Subject, root), m.Data) })
	if err != nil {
		return nil, fmt.Errorf("listen to notices: %w", err)
	}
	return unsubscribe(s), nil
}

// Notify tells a notice to whoever listens. One that is larger than NATS takes is a fault of the kind too_large.
func (w *Wires) Notify(owner schemas.BotID, class string, notice []byte) error {
	return tooLargeFor(w.nc.publish(schemas.NoticeSubject(owner, class), notice), notice)
}

// Advise publishes an advisory about a bot, and as a system notice to the WebSockets of channels. Neither is stored.
func (w *Wires) Advise(owner schemas.BotID, advisory []byte) error {
	if err := w.nc.publish(schemas.AdvisorySubject(owner), advisory); err != nil {
		return err
	}
	if notice, ok := noticeOf(advisory); ok {
		w.nc.announce(owner, notice)
	}
	return nil
}

// tooLargeFor names the one thing that a message itself can be to blame for.
func tooLargeFor(err error, data []byte) error {
	if errors.Is(err, nats.ErrMaxPayload) {
		return fault.New(fault.TooLarge, "message of %d bytes is larger than NATS takes", len(data))
	}
	return err
}

// Claim says whether a key is this caller's: of several callers with one key within two minutes it is true for one.
func (w *Wires) Claim(ctx context.Context, key string) (bool, error) {
	_, err := w.claims.Create(ctx, key, nil)
	if IsConflict(err) {
		return false, nil
	}
	return err == nil, err
}

// Serve answers requests that are sent to an address, until stop is called.
func (w *Wires) Serve(address string, answer func(request []byte) []byte) (stop func(), err error) {
	s, err := w.nc.subscribe(subjectSockets+"."+address, func(m *nats.Msg) { _ = m.Respond(answer(m.Data)) })
	if err != nil {
		return nil, fmt.Errorf("listen to other processes: %w", err)
	}
	return unsubscribe(s), nil
}

// Ask sends a request to an address and waits for the answer. Nobody there is a fault of the kind gone.
func (w *Wires) Ask(ctx context.Context, address string, request []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	m, err := w.nc.request(ctx, subjectSockets+"."+address, request)
	if errors.Is(err, nats.ErrNoResponders) {
		return nil, fault.New(fault.Gone, "there is no such connection")
	}
	if err != nil {
		return nil, fmt.Errorf("ask another process: %w", tooLargeFor(err, request))
	}
	return m.Data, nil
}

// askTimeout bounds one request to another process.
const askTimeout = 5 * time.Second

func unsubscribe(s *nats.Subscription) func() { return func() { _ = s.Unsubscribe() } }
