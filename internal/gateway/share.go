package gateway

import (
	"context"
	"net/http"
	"strconv"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/httpapi"
)

// TenantRequestsDefault is how many requests of one tenant a gateway serves at a time: twice those that may wait for a
// reply.
const TenantRequestsDefault = 2 * ReplyWaitsMax

// bytesOfPlace is how much of a body takes a place of its tenant's share beside the request's own: so many large bodies
// cannot be in memory at a time as small ones.
const bytesOfPlace = 128 << 10

// placesOf returns the places that a request takes. A larger body than an event's is a file, which is not in memory as a
// whole; one of unknown length may have any.
func placesOf(r *http.Request) int {
	if r.ContentLength < 0 {
		return placesFor(httpapi.BodyMax)
	}
	return placesFor(r.ContentLength)
}

// placesFor returns the places that a body, or a frame of a WebSocket, takes.
func placesFor(bytes int64) int { return 1 + int(min(bytes, httpapi.BodyMax)/bytesOfPlace) }

// EventShares finds the tenants whose events fill their share of the event stream. *quota.Quota is one.
type EventShares interface {
	Exceeded(ctx context.Context, tenant string) (bool, error)
	// Writing counts a write of so many bytes of a tenant until end is called.
	Writing(tenant string, bytes int) (end func(stored bool))
}

// Values of the metric's label share.
const (
	shareRequests = "requests"
	shareEvents   = "events"
)

// place is where a request keeps its part of its tenant's share; watched returns it.
type place struct{ release func() }

type placeKey struct{}

// enter takes a place of the tenant's share of requests, and others by the size of its body, for the rest of a request. Its
// handler calls it when it knows the tenant, before it reads the body. A stream of replies and a WebSocket have bounds of
// their own; a call over a WebSocket that runs a script takes places as well.
func (o Options) enter(r *http.Request, tenant string) error {
	return o.enterShare(r, o.requests, tenant)
}

// enterPublic is enter for a request without a token, whose number the tenant does not decide: it takes a place of another
// share of the same size, so that readers of links do not keep the tenant's own requests away.
func (o Options) enterPublic(r *http.Request, tenant string) error {
	return o.enterShare(r, o.publicRequests, tenant)
}

func (o Options) enterShare(r *http.Request, of *shares, tenant string) error {
	p, _ := r.Context().Value(placeKey{}).(*place)
	if p == nil || p.release != nil {
		return nil
	}
	release, err := o.takePlaces(of, tenant, placesOf(r))
	p.release = release
	return err
}

// takePlaces takes places of a tenant's share; release returns them.
func (o Options) takePlaces(of *shares, tenant string, places int) (release func(), err error) {
	if o.TenantRequests < 0 {
		return func() {}, nil
	}
	limit := o.TenantRequests
	if limit == 0 {
		limit = TenantRequestsDefault
	}
	release, ok := of.TakeMany(tenant, min(places, limit), limit)
	if !ok {
		o.Metrics.ShareExceeded(tenant, shareRequests)
		return nil, httpapi.Reject(http.StatusTooManyRequests, fault.RateLimited,
			"the tenant has "+strconv.Itoa(limit)+" requests open at this gateway: send fewer at a time").With("Retry-After", "1")
	}
	return release, nil
}

// entering serves a request that may take a place.
func entering(w http.ResponseWriter, r *http.Request, next http.Handler) {
	p := &place{}
	defer func() {
		if p.release != nil {
			p.release()
		}
	}()
	next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), placeKey{}, p)))
}

// roomForEvent rejects an event of a tenant whose waiting events fill its share of the stream. When the share is unknown,
// the stream decides. An event that came before passes: while the stream has it, it is a duplicate and takes no room. Before
// it is stored again, roomForEvent is asked a second time, with isNew.
func (o Options) roomForEvent(ctx context.Context, tenant string, before func() bool) error {
	if o.EventShares == nil {
		return nil
	}
	exceeded, err := o.EventShares.Exceeded(ctx, tenant)
	if err != nil {
		o.Log.WarnContext(ctx, "counting a tenant's events failed", "tenant", tenant, "error", err)
	}
	if !exceeded || before() {
		return nil
	}
	o.Metrics.ShareExceeded(tenant, shareEvents)
	return httpapi.Reject(http.StatusTooManyRequests, fault.QueueFull,
		"the tenant's waiting events fill its half of the event stream: send again later").With("Retry-After", "10")
}

// writingEvent counts an event that is being stored among those of its tenant, until end is called: the events that are
// stored are counted at intervals.
func (o Options) writingEvent(e *postedEvent) (end func(stored bool)) {
	if o.EventShares == nil {
		return func(bool) {}
	}
	return o.EventShares.Writing(e.Tenant, len(e.document))
}

// isNew is the before of roomForEvent for an event that is stored in any case.
func isNew() bool { return false }
