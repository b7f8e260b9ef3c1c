package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// storedFor is how far back the reply to a duplicate is looked for: one is recognised for ten minutes.
const storedFor = 15 * time.Minute

// waitOf returns how long a request waits for the reply; 0 = it does not.
func waitOf(r *http.Request) (time.Duration, error) {
	text := r.URL.Query().Get("wait")
	if text == "" {
		return 0, nil
	}
	wait, err := time.ParseDuration(text)
	if err != nil || wait < 0 || wait > ReplyWaitMax {
		return 0, httpapi.Reject(http.StatusBadRequest, fault.BadEvent,
			"wait is not a valid duration: expected one from 0s to "+ReplyWaitMax.String()+", such as 10s")
	}
	return wait, nil
}

// publishAndWait publishes an event and answers with its reply.
func (o Options) publishAndWait(w http.ResponseWriter, r *http.Request, e *postedEvent, wait time.Duration) error {
	release, err := o.Engines.waits.take(e.Tenant, ReplyWaitsMax)
	if err != nil {
		return err
	}
	defer release()
	var ids []string
	for _, replyType := range schemas.AnswerTypes(e.eventType) {
		ids = append(ids, schemas.ReplyID(e.ConversationKey, e.id, replyType))
	}
	found, stop, err := o.Engines.Replies.Listen(e.ConversationKey, ids)
	if err != nil {
		return publishFailed(err, "tenant", e.Tenant, "bot", e.Bot, "event", e.id)
	}
	defer stop()
	since := time.Now().Add(-step.ClockSlack)
	duplicate, err := o.storeEvent(r.Context(), e)
	if err != nil {
		return err
	}
	answer, status := eventAccepted{Accepted: true, ID: e.id, Duplicate: duplicate}, http.StatusAccepted
	if duplicate { // its reply may be there already
		since = time.Now().Add(-storedFor)
		answer.Reply = o.stored(r.Context(), e, ids, since)
	}
	if answer.Reply == nil {
		answer.Reply = o.await(r.Context(), e, ids, found, wait, since)
	}
	if answer.Reply != nil {
		status = http.StatusOK
	}
	return httpapi.Answer(w, mediaJSON, status, answer)
}

// await returns the reply of an event; nil when it does not come in time. The event is stored: whatever fails here, the
// engine reads the reply later.
func (o Options) await(ctx context.Context, e *postedEvent, ids []string, found <-chan schemas.Reply, wait time.Duration,
	since time.Time,
) *schemas.Reply {
	limit := time.NewTimer(wait)
	defer limit.Stop()
	select {
	case reply := <-found:
		return &reply
	case <-limit.C:
		return o.stored(ctx, e, ids, since) // the connection to NATS may have been lost meanwhile
	case <-stopOf(ctx):
	case <-ctx.Done():
	}
	return nil
}

// stored looks for a reply in the stream, among those since the event was stored: the more an engine has stored before, the
// more there would be to read.
func (o Options) stored(ctx context.Context, e *postedEvent, ids []string, since time.Time) *schemas.Reply {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	for _, id := range ids {
		reply, err := o.Engines.Replies.Find(ctx, e.ConversationKey, id, since)
		if err != nil {
			o.Log.WarnContext(ctx, "looking for a reply failed", "tenant", e.Tenant, "bot", e.Bot, "event", e.id, "error", err)
			return nil
		}
		if reply != nil {
			return reply
		}
	}
	return nil
}
