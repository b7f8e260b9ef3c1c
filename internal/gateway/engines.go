package gateway

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/internal/letterapi"
	"github.com/hookturn/hookturn/internal/tenantshare"
	"github.com/hookturn/hookturn/schemas"
)

// Replies reads the reply stream for engines that have no connection to NATS. *bus.Replies is one.
type Replies interface {
	Follow(ctx context.Context, t bus.Tail, ready func(), each func(bus.StoredReply) error) error
	Bounds(ctx context.Context) (first, last uint64, err error)
	Listen(of schemas.ConversationKey, ids []string) (found <-chan schemas.Reply, stop func(), err error)
	Find(ctx context.Context, of schemas.ConversationKey, id string, since time.Time) (*schemas.Reply, error)
}

const (
	// ReplyStreamsMax bounds the requests GET /replies of one tenant that this process serves at a time.
	ReplyStreamsMax = 32
	// ReplyWaitsMax bounds the requests POST /events?wait of one tenant that wait in this process at a time.
	ReplyWaitsMax = 256
	// ReplyWaitMax is the longest time that POST /events waits for a reply.
	ReplyWaitMax = 60 * time.Second
)

// Engines serves engines without NATS: how many requests of each tenant stay open. Replies and Letters are required.
type Engines struct {
	Replies Replies
	Letters letterapi.API

	streams, waits, letters shares
}

// shares are the open requests of each tenant.
type shares struct{ tenantshare.Shares }

// take takes one of at most limit places of a tenant; release returns it. The error is what a client reads that is one
// too many.
func (s *shares) take(tenant string, limit int) (release func(), err error) {
	release, ok := s.Take(tenant, limit)
	if !ok {
		return nil, httpapi.Reject(http.StatusTooManyRequests, fault.RateLimited,
			"the tenant has "+strconv.Itoa(limit)+" such requests open already: end one, or use a single one for all bots").
			With("Retry-After", "1")
	}
	return release, nil
}

// stopping is the key under which a request's context holds a channel that is closed when the server stops: a request that
// lasts ends then, and does not hold up the stop.
type stopping struct{}

// stopOf returns the channel of the server that serves a request; nil outside of a server.
func stopOf(ctx context.Context) <-chan struct{} {
	stop, _ := ctx.Value(stopping{}).(chan struct{})
	return stop
}
