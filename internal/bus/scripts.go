package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/tenantshare"
	"github.com/hookturn/hookturn/schemas"
)

// Requests to run a script without a workflow go from a gateway to any one of the workers that run scripts.
const (
	subjectScripts = "hookturn.scripts"
	groupScripts   = "hookturn-code"
)

// CallScript sends a request to one of the processes that serve scripts, and waits for its answer until ctx ends. The error
// is a fault of the kind sandbox_unavailable when there is none, and of the kind too_large when the request exceeds the
// limit of NATS. A request is delivered once or not at all.
func (p *PubSub) CallScript(ctx context.Context, owner schemas.BotID, request []byte) ([]byte, error) {
	m, err := p.nc.request(ctx, subjectScripts+"."+owner.Tenant+"."+owner.Bot, request)
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
	var running sync.WaitGroup
	places, ofTenants := make(chan struct{}, atOnce), tenantshare.Shares{}
	s, err := p.nc.queueSubscribe(subjectScripts+".>", groupScripts, func(m *nats.Msg) {
		tenant, _, _ := strings.Cut(strings.TrimPrefix(m.Subject, subjectScripts+"."), ".")
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
			_ = m.Respond(answer(m.Data, p.nc.maxPayload()))
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
