package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/internal/visible"
)

const (
	// mediaEvents is the media type of server-sent events.
	mediaEvents = "text/event-stream"
	// keepAlive is how often a stream gets a comment, and how late the end of its token is noticed at most.
	keepAlive = 10 * time.Second
	// streamWrite bounds one write: a client that does not read is disconnected.
	streamWrite = 30 * time.Second
)

// streamReplies sends the replies of a tenant as server-sent events, in the order of the stream: id is the sequence, data
// the reply as a CloudEvents document. It begins behind the sequence of Last-Event-ID or ?after; without both, with what is
// published from now on. It ends when the client disconnects, when the token loses its validity, or when the process stops.
func (o Options) streamReplies(w http.ResponseWriter, r *http.Request) error {
	token := httpapi.Bearer(r)
	tenant, ok := o.EventTokens.tenant(token)
	if !ok {
		return httpapi.Unauthorized()
	}
	// Before the stream is asked for its state: each such request is one to NATS.
	release, err := o.Engines.streams.take(tenant, ReplyStreamsMax)
	if err != nil {
		return err
	}
	defer release()
	tail, err := o.tailOf(r, tenant)
	if err != nil {
		return err
	}
	if r.Method == http.MethodHead { // the mux routes HEAD as GET
		w.Header().Set("Content-Type", mediaEvents)
		return nil
	}
	s := &replyStream{w: w, control: http.NewResponseController(w), valid: func() bool {
		owner, ok := o.EventTokens.tenant(token)
		return ok && owner == tenant
	}}
	s.begin(tail.From - 1)
	err = s.run(r.Context(), o.Engines.Replies, tail)
	if err != nil && !errors.Is(err, errClientGone) && r.Context().Err() == nil {
		o.Log.WarnContext(r.Context(), "reading replies for an engine failed, it reads on from its last event", "tenant",
			tenant, "bot", tail.Bot,
			"error", err)
	}
	return nil
}

// tailOf returns which replies a request asks for.
func (o Options) tailOf(r *http.Request, tenant string) (bus.Tail, error) {
	query := r.URL.Query()
	tail := bus.Tail{}
	tail.Tenant, tail.Bot, tail.Conversation = tenant, query.Get("bot"), query.Get("conversation")
	if tail.Bot != "" {
		if err := o.knowsBot(r.Context(), tail.BotID); err != nil {
			return tail, err
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), publishTimeout)
	defer cancel()
	first, last, err := o.Engines.Replies.Bounds(ctx)
	if err != nil {
		return tail, publishFailed(err, "tenant", tenant)
	}
	after, given := query.Get("after"), query.Has("after")
	if id := r.Header.Get("Last-Event-ID"); id != "" { // what the client has read beats the address that it began with
		after, given = id, true
	}
	if !given {
		tail.From = last + 1
		return tail, nil
	}
	sequence, err := strconv.ParseUint(after, 10, 63)
	switch {
	case err != nil:
		return tail, httpapi.Reject(http.StatusBadRequest, fault.BadEvent,
			"after or Last-Event-ID is not a valid sequence: expected the id of an event of this stream, or 0 for all that is stored")
	case sequence > last, sequence > 0 && sequence+1 < first: // first-1 is the position before the first reply
		return tail, httpapi.Reject(http.StatusGone, fault.Gone, fmt.Sprintf("the reply stream begins at %d and ends at %d: "+
			"it was created again, or restored from a backup; read from after=0 and ignore the replies whose CloudEvents id "+
			"you have", first, last))
	}
	tail.From = sequence + 1
	return tail, nil
}

// errClientGone ends a stream whose client does not read any more.
var errClientGone = errors.New("the client has disconnected")

// replyStream writes one stream of server-sent events.
type replyStream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	valid   func() bool // reports whether the token is still valid
}

// begin sends the headers, and the position as an event without data: a client that reads nothing more knows where to go on.
func (s *replyStream) begin(after uint64) {
	// The bounds of a request do not fit one that lasts. Connections of net/http have deadlines.
	_ = s.control.SetReadDeadline(time.Time{})
	header := s.w.Header()
	header.Set("Content-Type", mediaEvents)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // nginx would hold events back
	s.w.WriteHeader(http.StatusOK)
	_ = s.write(fmt.Appendf(nil, "retry: 1000\nid: %d\n\n", after)) // run notices an error as well
}

// run sends replies until an end; nil when the client, the token or the process is the reason.
func (s *replyStream) run(ctx context.Context, from Replies, tail bus.Tail) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	replies, ended := make(chan bus.StoredReply), make(chan struct{})
	var failed error
	go func() {
		defer close(ended)
		failed = from.Follow(ctx, tail, nil, func(reply bus.StoredReply) error {
			select {
			case replies <- reply:
			case <-ctx.Done():
			}
			return ctx.Err()
		})
	}()
	defer func() {
		cancel()
		<-ended
	}()
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		var err error
		select {
		case reply := <-replies:
			if s.valid() {
				err = s.write(eventOf(reply))
			}
		case <-tick.C:
			err = s.write([]byte(": keep-alive\n\n"))
		case <-stopOf(ctx):
			return nil
		case <-ended:
			return failed
		}
		if err != nil || !s.valid() {
			return err
		}
	}
}

// eventOf returns a reply as a server-sent event. A stored reply is JSON on one line; a line break would end the field.
// Control and format characters are escapes, as in all answers.
func eventOf(reply bus.StoredReply) []byte {
	data := bytes.NewBuffer(nil)
	fmt.Fprintf(data, "id: %d\ndata: ", reply.Sequence)
	oneLine := bytes.ReplaceAll(bytes.ReplaceAll(reply.Data, []byte("\r"), []byte(" ")), []byte("\n"), []byte(" "))
	data.Write(visible.Text(oneLine))
	data.WriteString("\n\n")
	return data.Bytes()
}

func (s *replyStream) write(text []byte) error {
	_ = s.control.SetWriteDeadline(time.Now().Add(streamWrite))
	_, err := s.w.Write(text)
	if err == nil {
		err = s.control.Flush()
	}
	if err != nil {
		return errClientGone
	}
	return nil
}
