package pubsub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/tenantshare"
	"github.com/hookturn/hookturn/schemas"
)

// Requests to run a script without a workflow go from a gateway to any one of the code workers.
const (
	subjectScripts = "hookturn.scripts"
	groupScripts   = "hookturn-code"

	// Requests about the first attempt at a script of a workflow go from a worker to any one of the code workers, then to the
	// one that has claimed the script (internal/codeworker).
	subjectAttempts    = "hookturn.attempts"
	subjectCodeWorkers = "hookturn.codeworkers"

	// subjectApart begins the subjects of the same requests to code workers in another account of NATS.
	subjectApart = "hookturn.apart."
)

// callCode sends a request to the code workers of the other account, and to those of the same account when there are none.
func (p *PubSub) callCode(ctx context.Context, subject string, request []byte) (*nats.Msg, error) {
	m, err := p.nc.Request(ctx, subjectApart+strings.TrimPrefix(subject, "hookturn."), request)
	denied, _ := errors.AsType[*natsclient.DeniedError](err)
	if errors.Is(err, nats.ErrNoResponders) || denied != nil && !denied.Subscribe {
		return p.nc.Request(ctx, subject, request)
	}
	return m, err
}

// CallScript sends a request to one of the processes that serve scripts, and waits for its answer until ctx ends. The error
// is a fault of the kind sandbox_unavailable when there is none, and of the kind too_large when the request exceeds the
// limit of NATS. A request is delivered once or not at all.
func (p *PubSub) CallScript(ctx context.Context, owner schemas.BotID, request []byte) ([]byte, error) {
	m, err := p.callCode(ctx, subjectScripts+"."+owner.Tenant+"."+owner.Bot, request)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return nil, fault.New(fault.SandboxUnavailable, "no worker serves scripts: start one with --task-queues hookturn-code")
	case err != nil:
		return nil, fmt.Errorf("request to a worker: %w", tooLargeFor(err, request))
	}
	return m.Data, nil
}

// ServeScripts answers requests of CallScript, a number of them at a time and half of it for one tenant, until stop is
// called; stop waits until all that were delivered are answered, and no longer than its context for those that the server
// still sends. Requests above the number are answered with busy. limit is how many bytes an answer may have.
func (p *PubSub) ServeScripts(atOnce int, answer func(request []byte, limit int) []byte, busy []byte) (
	stop func(context.Context), err error,
) {
	return p.serve(subjectScripts, atOnce, answer, busy)
}

// CallCodeWorker sends a request about the first attempt at a script of a workflow to one of the code workers, or to the one
// of a name, and waits for its answer until ctx ends. An error that is a fault means that no worker received the request:
// its kind is sandbox_unavailable when no such worker has subscribed, connect while the connection is down or may not send
// it, and too_large when the request exceeds the limit of NATS.
func (p *PubSub) CallCodeWorker(ctx context.Context, owner schemas.BotID, name string, request []byte) ([]byte, error) {
	if !p.nc.IsConnected() { // the library would send it later
		return nil, fault.New(fault.Connect, "NATS is away")
	}
	subject := subjectAttempts + "." + owner.Tenant + "." + owner.Bot
	if name != "" {
		subject = subjectCodeWorkers + "." + name
	}
	m, err := p.callCode(ctx, subject, request)
	denied, _ := errors.AsType[*natsclient.DeniedError](err)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return nil, fault.New(fault.SandboxUnavailable, "no code worker receives the request")
	case denied != nil && !denied.Subscribe:
		return nil, fault.Wrap(fault.Connect, err, "not permitted to ask code workers")
	case err != nil:
		return nil, fmt.Errorf("request to a code worker: %w", tooLargeFor(err, request))
	}
	return m.Data, nil
}

// ServeAttempts answers requests of CallCodeWorker to any code worker, as ServeScripts answers those of CallScript.
func (p *PubSub) ServeAttempts(atOnce int, answer func(request []byte, limit int) []byte, busy []byte) (
	stop func(context.Context), err error,
) {
	return p.serve(subjectAttempts, atOnce, answer, busy)
}

// ServeAttemptsTo answers requests of CallCodeWorker to the code worker of a name, until stop is called.
func (p *PubSub) ServeAttemptsTo(name string, answer func(request []byte, limit int) []byte) (
	stop func(context.Context), err error,
) {
	var running sync.WaitGroup
	s, err := p.nc.Subscribe(subjectCodeWorkers+"."+name, func(m *nats.Msg) {
		running.Go(func() { _ = m.Respond(answer(m.Data, p.nc.MaxPayload())) })
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to requests about scripts: %w", err)
	}
	drain := draining(s)
	return func(ctx context.Context) { drain(ctx); running.Wait() }, nil
}

// serve answers requests to <subject>.<tenant>.<bot>, of which the group of code workers gets each once.
func (p *PubSub) serve(subject string, atOnce int, answer func(request []byte, limit int) []byte, busy []byte) (
	stop func(context.Context), err error,
) {
	var running sync.WaitGroup
	places, ofTenants := make(chan struct{}, atOnce), tenantshare.Shares{}
	s, err := p.nc.QueueSubscribe(subject+".>", groupScripts, func(m *nats.Msg) {
		tenant, _, _ := strings.Cut(strings.TrimPrefix(m.Subject, subject+"."), ".")
		release, ok := ofTenants.Take(tenant, (atOnce+1)/2)
		if ok {
			select {
			case places <- struct{}{}:
			default:
				release()
				ok = false
			}
		}
		if !ok {
			_ = m.Respond(busy) // the requester waits for its timeout at most
			return
		}
		running.Go(func() {
			defer func() { <-places; release() }()
			_ = m.Respond(answer(m.Data, p.nc.MaxPayload()))
		})
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to requests for scripts: %w", err)
	}
	drain := draining(s)
	return func(ctx context.Context) {
		drain(ctx)
		running.Wait()
	}, nil
}
