package activities

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/signature"
	"github.com/hookturn/hookturn/internal/step"
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
	id := webhookID(in.Event.ID)
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
	values, failed := secrets.values(w.Secret)
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

// webhookNamespace is the UUIDv5 namespace of webhook ids that cannot be the event's own.
var webhookNamespace = uuid.MustParse("0c9a6a2b-7f5d-5a3e-8f64-2f6c1f1b8d10")

// webhookID is the same for every attempt of a step: the event's id where a header and a Standard Webhooks signature can
// carry it (visible ASCII without a dot), else a UUID made from it.
func webhookID(eventID string) string {
	for _, c := range []byte(eventID) {
		if c <= ' ' || c >= 0x7f || c == '.' {
			return uuid.NewSHA1(webhookNamespace, []byte(eventID)).String()
		}
	}
	return eventID
}
