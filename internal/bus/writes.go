package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/schemas"
)

// Why a write was not stored: values of the label reason of hookturn_nats_write_failures_total.
const (
	ReasonNoSpace    = "no_space"    // the store of the server or of the account is full
	ReasonStreamFull = "stream_full" // the stream has reached its limit, or has too many messages to store
	ReasonNoStream   = "no_stream"   // no stream has the subject, or JetStream is not available
	ReasonTimeout    = "timeout"
	ReasonConnection = "connection"
	ReasonRefused    = "refused" // another reason of the server
	ReasonDenied     = "denied"  // the NATS user does not have the permission
)

// WriteFailureReasons returns every reason of ObserveWrites.
func WriteFailureReasons() []string {
	return []string{
		ReasonNoSpace, ReasonStreamFull, ReasonNoStream, ReasonTimeout, ReasonConnection, ReasonRefused, ReasonDenied,
	}
}

const (
	// probeEvery is how often Ready writes a probe when nothing else is written.
	probeEvery = 10 * time.Second
	// failureLasts is how long a failed write counts when its subject is not written to again.
	failureLasts = 30 * time.Second
	// writeLogEvery bounds the log lines about failed writes, by stream.
	writeLogEvery = 10 * time.Second
	probeTimeout  = time.Second
	probeKey      = "ready" // each user may write it (internal/permissions)
	probeSubject  = "$KV." + BucketClaims + "." + probeKey
)

// writes records the result of the latest write to each stream.
type writes struct {
	mu       sync.Mutex
	failing  map[string]failedWrite // by stream
	latest   time.Time              // of the latest write that was stored
	observed func(reason string)
}

type failedWrite struct {
	reason string
	err    error
	at     time.Time
	logged time.Time
	count  int // since the last log line
}

// ObserveWrites calls failed with the reason of every write that JetStream did not store.
func ObserveWrites(js JetStream, failed func(reason string)) {
	if u := upkeepOf(js); u != nil {
		u.writes.mu.Lock()
		defer u.writes.mu.Unlock()
		u.writes.observed = failed
	}
}

// Wrote records the result of a write.
func (u *upkeep) Wrote(subject string, err error) { u.wrote(streamOf(subject), err) }

func (u *upkeep) wrote(stream string, err error) {
	reason := writeFailure(err)
	w := &u.writes
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if reason == "" {
		if err == nil {
			w.latest = now
			if was, failing := w.failing[stream]; failing {
				delete(w.failing, stream)
				u.log.Info("writes to stream restored", "stream", stream, "reason", was.reason)
			}
		}
		return
	}
	if w.observed != nil {
		w.observed(reason)
	}
	if reason == ReasonDenied {
		return // see rights
	}
	f := w.failing[stream]
	f.reason, f.err, f.at = reason, err, now
	f.count++
	if now.Sub(f.logged) >= writeLogEvery {
		u.log.Warn("writes to stream rejected", "stream", stream, "reason", reason, "failures", f.count, "error", err,
			"hint", writeHint(reason))
		f.logged, f.count = now, 0
	}
	if w.failing == nil {
		w.failing = map[string]failedWrite{}
	}
	w.failing[stream] = f
}

// writeFailure returns why a write was not stored: "" when it was stored, or when the write itself is invalid.
func writeFailure(err error) string {
	var api *jetstream.APIError
	switch {
	case err == nil, natsclient.IsConflict(err), errors.Is(err, context.Canceled), natsclient.IsTooLarge(err):
		return ""
	case natsclient.IsDenied(err):
		return ReasonDenied
	case natsclient.IsVanished(err):
		return ReasonNoStream
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout),
		errors.Is(err, jetstream.ErrAsyncPublishTimeout), errors.Is(err, jetstream.ErrTooManyStalledMsgs):
		return ReasonTimeout
	case errors.As(err, &api):
		return refusedBy(api)
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrDisconnected), errors.Is(err,
		nats.ErrConnectionReconnecting):
		return ReasonConnection
	}
	return ""
}

func refusedBy(api *jetstream.APIError) string {
	switch {
	case natsclient.IsStreamFull(api), natsclient.IsBusy(api):
		return ReasonStreamFull
	case natsclient.IsNoSpace(api):
		return ReasonNoSpace
	}
	return ReasonRefused
}

func writeHint(reason string) string {
	switch reason {
	case ReasonNoSpace:
		return "give the JetStream store or the account more space, or remove data"
	case ReasonStreamFull:
		return "the stream is full: raise its max_bytes or max_msgs, or add workers; or messages arrive faster than it stores them"
	case ReasonNoStream:
		return "check that JetStream is enabled and that its streams exist"
	}
	return "check the NATS server's log"
}

// writable returns an error when the latest write to a stream was rejected. Without recent writes it writes a probe, so
// that it detects a full store before the next event, and a store that has room again.
func (u *upkeep) writable(ctx context.Context) error {
	u.writes.mu.Lock()
	due := len(u.writes.failing) > 0 || time.Since(u.writes.latest) > probeEvery
	u.writes.mu.Unlock()
	if due {
		err := u.probe(ctx)
		if writeFailure(err) == ReasonTimeout {
			// JetStream has just answered: the user may not be permitted to write the probe. Its own writes show failures.
			u.log.DebugContext(ctx, "probe not answered", "subject", probeSubject, "error", err)
			due = false
		} else {
			u.wrote("KV_"+BucketClaims, err)
			if err != nil && writeFailure(err) != ReasonStreamFull {
				return fmt.Errorf("jetstream does not store writes: %w", err)
			}
		}
	}
	u.writes.mu.Lock()
	defer u.writes.mu.Unlock()
	for stream, f := range u.writes.failing {
		switch {
		case time.Since(f.at) > failureLasts, due && f.reason == ReasonNoSpace:
			delete(u.writes.failing, stream)
		case f.reason == ReasonStreamFull && slices.Contains(filledByTenants(), stream):
			// One tenant can fill them. No other process has more room, and the writes of the other streams succeed.
		default:
			return fmt.Errorf("latest write to stream %s rejected (%s): %w", stream, f.reason, f.err)
		}
	}
	return nil
}

// filledByTenants returns the streams that hold what tenants send, which reject new messages when they are full.
func filledByTenants() []string {
	return []string{
		schemas.StreamEvents, StreamQueues, filesStream, "KV_" + BucketUsers, "KV_" + BucketChats, "KV_" + BucketPosted,
		"KV_" + BucketClaims, "KV_" + BucketEndpoints,
	}
}

func (u *upkeep) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	m := nats.NewMsg(natsclient.KeySubject(u.js, BucketClaims, probeKey))
	m.Data = []byte(time.Now().UTC().Format(time.RFC3339))
	_, err := u.js.PublishMsg(ctx, m)
	return err
}

// streamRoots are the streams by the beginning of their subjects.
var streamRoots = [][2]string{
	{schemas.SubjectReplies + ".", schemas.StreamReplies}, {schemas.SubjectEvents + ".", schemas.StreamEvents},
	{schemas.SubjectDeadLetters + ".", schemas.StreamDeadLetters}, {SubjectQueues + ".", StreamQueues},
	{schemas.SubjectAudit + ".", schemas.StreamAudit},
}

// streamOf returns the name of the stream of a subject.
func streamOf(subject string) string {
	if rest, ok := strings.CutPrefix(subject, "$KV."); ok {
		bucket, _, _ := strings.Cut(rest, ".")
		return "KV_" + bucket
	}
	if rest, ok := strings.CutPrefix(subject, "$O."); ok {
		bucket, _, _ := strings.Cut(rest, ".")
		return "OBJ_" + bucket
	}
	for _, root := range streamRoots {
		if strings.HasPrefix(subject, root[0]) {
			return root[1]
		}
	}
	return "other"
}
