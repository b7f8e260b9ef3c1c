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

// StreamOwnerAudit is the stream that has a copy of the audit events of what only an owner may do. A user with fewer rights
// can fill the stream of audit events, whose oldest ones then go; nothing but the server writes to this one.
const StreamOwnerAudit = "HOOKTURN_AUDIT_OWNER"

// ownerActions are the actions that only an owner may do (internal/role).
func ownerActions() []schemas.AuditAction {
	return []schemas.AuditAction{
		schemas.AuditChannelToken, schemas.AuditChannelDelete, schemas.AuditErase, schemas.AuditDeploymentPromote,
		schemas.AuditSetup, schemas.AuditPayloadsDecrypt,
	}
}

// ownerAuditConfig copies messages from the stream of audit events, which must be there.
func ownerAuditConfig(o StreamOptions) jetstream.StreamConfig {
	from := &jetstream.StreamSource{Name: schemas.StreamAudit}
	for _, action := range ownerActions() {
		subject := schemas.SubjectAudit + ".*.*." + string(action)
		from.SubjectTransforms = append(from.SubjectTransforms, jetstream.SubjectTransformConfig{Source: subject})
	}
	config := auditConfig(o)
	config.Name, config.Description, config.Subjects = StreamOwnerAudit, "what owners changed or decrypted", nil
	config.Sources = []*jetstream.StreamSource{from}
	config.MaxBytes = o.sizeOf(StreamOwnerAudit)
	return config
}

// Audit writes audit events.
type Audit struct{ js jetstream.JetStream }

// NewAudit returns a new Audit on a connection.
func NewAudit(js jetstream.JetStream) *Audit { return &Audit{js: js} }

// EnsureAudit creates the streams of audit events when they are missing: an action is recorded before it creates anything
// else.
func EnsureAudit(ctx context.Context, js jetstream.JetStream, o StreamOptions) error {
	o = o.withDefaults()
	for _, config := range []jetstream.StreamConfig{auditConfig(o), ownerAuditConfig(o)} {
		if _, err := ensureStream(ctx, js, o, config); err != nil {
			return err
		}
	}
	return nil
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
	var owners []schemas.AuditEvent // in this order; most of them are in the other stream as well
	err := f.read(ctx, s, StreamOwnerAudit, func(e schemas.AuditEvent) bool {
		owners = append(owners, e)
		return true
	})
	if err != nil {
		return err
	}
	passed, more := map[string]bool{}, true
	pass := func(e schemas.AuditEvent) bool {
		if !passed[e.ID] {
			passed[e.ID] = true
			more = each(e)
		}
		return more
	}
	// before passes the events of owners until a time.
	before := func(until time.Time) bool {
		for more && len(owners) > 0 && owners[0].Time.Before(until) {
			pass(owners[0])
			owners = owners[1:]
		}
		return more
	}
	err = f.read(ctx, s, schemas.StreamAudit, func(e schemas.AuditEvent) bool { return before(e.Time) && pass(e) })
	for err == nil && more && len(owners) > 0 {
		pass(owners[0])
		owners = owners[1:]
	}
	return err
}

// read calls each for the events of a stream that the filter selects, oldest first, until each returns false.
func (f AuditFilter) read(ctx context.Context, s Streams, stream string, each func(schemas.AuditEvent) bool) error {
	from := natsclient.Query{
		Next: schemas.SubjectAudit + "." + orAny(f.Tenant) + "." + orAny(f.Bot) + "." + orAny(string(f.Action)), Sequence: 1,
	}
	if !f.Since.IsZero() {
		from.Sequence, from.Since = 0, &f.Since
	}
	err := natsclient.Read(ctx, s.js, stream, from, func(m *jetstream.RawStreamMsg) (bool, error) {
		if !f.Until.IsZero() && !m.Time.Before(f.Until) {
			return false, nil
		}
		var event schemas.AuditEvent
		valid := json.Unmarshal(m.Data, &event) == nil && (f.Actor == "" || event.Data.Actor.Name == f.Actor)
		return !valid || each(event), nil
	})
	if err != nil {
		return fmt.Errorf("read stream %s: %w", stream, err)
	}
	return nil
}
