package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/schemas"
)

// auditTimeout is how long writing an audit event may take, with repetitions.
const auditTimeout = 5 * time.Second

// auditConfig denies deleting and purging messages, also for the future: such a stream can only be deleted as a whole.
func auditConfig(o StreamOptions) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        schemas.StreamAudit,
		Description: "what operators changed",
		Subjects:    []string{schemas.SubjectAudit + ".*.*.*"},
		Retention:   jetstream.LimitsPolicy,
		Storage:     jetstream.FileStorage,
		Duplicates:  auditDedupe,
		MaxAge:      auditMaxAge,
		MaxBytes:    o.sizeOf(schemas.StreamAudit),
		AllowDirect: true, // many messages a request
		DenyDelete:  true,
		DenyPurge:   true,
		Replicas:    o.Replicas,
	}
}

// Audit writes audit events.
type Audit struct{ js jetstream.JetStream }

// NewAudit returns a new Audit on a connection.
func NewAudit(js jetstream.JetStream) *Audit { return &Audit{js: js} }

// EnsureAudit creates the stream of audit events when it is missing: an action is recorded before it creates anything else.
func EnsureAudit(ctx context.Context, js jetstream.JetStream, o StreamOptions) error {
	_, err := ensureStream(ctx, js, auditConfig(o.withDefaults()))
	return err
}

// User returns the user as which the connection is known to the NATS server.
func (a *Audit) User() string { return natsclient.UserOf(a.js.Conn()) }

// Write stores an event and waits for the acknowledgement, trying again for a few seconds. The same event is stored once.
func (a *Audit) Write(ctx context.Context, event schemas.AuditEvent) error {
	body, err := schemas.Marshal(event)
	if err != nil {
		return fmt.Errorf("write an audit event as JSON: %w", err)
	}
	m := nats.NewMsg(schemas.AuditSubject(event.Data.BotID, event.Data.Action))
	m.Data = body
	m.Header.Set(jetstream.MsgIDHeader, event.ID)
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	if _, err := publishStored(ctx, a.js, m); err != nil {
		return fmt.Errorf("store an audit event: %w", err)
	}
	return nil
}

// AuditFilter selects audit events. Empty members match all.
type AuditFilter struct {
	schemas.BotID

	Action       schemas.AuditAction
	Actor        string
	Since, Until time.Time
}

// ReadAudit calls each for the stored audit events that a filter selects, oldest first, until each returns false.
func ReadAudit(ctx context.Context, s Streams, f AuditFilter, each func(schemas.AuditEvent) (more bool)) error {
	from := natsclient.Query{
		Next: schemas.SubjectAudit + "." + orAny(f.Tenant) + "." + orAny(f.Bot) + "." + orAny(string(f.Action)), Sequence: 1,
	}
	if !f.Since.IsZero() {
		from.Sequence, from.Since = 0, &f.Since
	}
	err := natsclient.Read(ctx, s.js, schemas.StreamAudit, from, func(m *jetstream.RawStreamMsg) (bool, error) {
		if !f.Until.IsZero() && !m.Time.Before(f.Until) {
			return false, nil
		}
		var event schemas.AuditEvent
		valid := json.Unmarshal(m.Data, &event) == nil && (f.Actor == "" || event.Data.Actor.Name == f.Actor)
		return !valid || each(event), nil
	})
	if err != nil {
		return fmt.Errorf("read stream %s: %w", schemas.StreamAudit, err)
	}
	return nil
}
