package activities

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/signature"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// header is the dialect's own header with everything that is the same for every dialect on top.
func (a *Activities) header(
	in step.WebhookInput, secrets secretsOf, encoded dialect.Request, n int,
) (http.Header, *fault.Fault) {
	w, h := in.Plan.Webhook, encoded.Header
	if h == nil {
		h = make(http.Header)
	}
	for _, name := range slices.Sorted(maps.Keys(w.Headers)) {
		h.Set(name, w.Headers[name])
	}
	id := schemas.EncodeID(in.Event.AskedID()) // the same for every attempt of a step, and for its repetitions
	h.Set("Webhook-Id", id)
	h.Set("Hookturn-Attempt", strconv.Itoa(n))
	if in.Event.TraceParent != "" {
		h.Set("Traceparent", in.Event.TraceParent)
	}
	if in.Event.TraceState != "" {
		h.Set("Tracestate", in.Event.TraceState)
	}
	if w.Authorization != "" {
		value, failed := secrets.newest(w.Authorization)
		if failed != nil {
			return nil, failed
		}
		h.Set("Authorization", value)
	}
	if w.Secret == "" {
		return h, nil
	}
	values, failed := secrets.signing()
	if failed != nil {
		return nil, failed
	}
	schemes := make([]signature.Scheme, 0, len(w.Signature))
	for _, name := range w.Signature {
		scheme, err := signature.Parse(name)
		if err != nil {
			return nil, fault.Wrap(fault.Config, err, "unknown signature scheme %q", name)
		}
		schemes = append(schemes, scheme)
	}
	if err := signature.Sign(h, schemes, values, id, time.Now(), encoded.Body); err != nil {
		return nil, fault.Wrap(fault.Config, err, "the request cannot be signed with secret %q", w.Secret)
	}
	return h, nil
}
