// Package audit records what operators change: an event before anything is changed, without which the change does not
// happen, and one with the result. It records in the same way what they decrypt.
package audit

import (
	"context"
	"log/slog"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/hookturn/hookturn/schemas"
)

// Writer stores audit events. *bus.Audit is one.
type Writer interface {
	Write(ctx context.Context, event schemas.AuditEvent) error
}

// Trail records the actions of one operator. All fields are required.
type Trail struct {
	Writer Writer
	Actor  schemas.AuditActor
	Log    *slog.Logger
}

// Change is what an operator wants to change. It names no user and no conversation.
type Change struct {
	schemas.BotID // empty members: of all

	Action  schemas.AuditAction
	Subject string            // what is changed, when it is one thing
	Filter  map[string]string // what chooses it, when it is many
	Objects []string
	Until   time.Time
	Reason  string
}

// NotRecorded replaces the values of filters that name people.
const NotRecorded = "(not recorded)"

// Recordable returns the tenant and the bot of a dead letter; those of a bad subject are unknown.
func Recordable(of schemas.BotID) schemas.BotID {
	if of.Valid() {
		return of
	}
	return schemas.BotID{}
}

const (
	nameMax   = 128
	reasonMax = 256
	// endTimeout bounds recording the result, also of an action that was interrupted.
	endTimeout = 10 * time.Second
)

// Operation is an action that has been recorded and is under way.
type Operation struct {
	trail   Trail
	subject string
	data    schemas.Audited
}

// Begin records that a change is requested. With an error nothing must be changed.
func (t Trail) Begin(ctx context.Context, c Change) (*Operation, error) {
	actor := t.Actor
	if actor.Name = Clean(actor.Name, nameMax); actor.Name == "" {
		actor.Name = "unknown"
	}
	o := &Operation{trail: t, subject: c.Subject, data: schemas.Audited{
		BotID: c.BotID, Operation: uuid.NewString(), Action: c.Action, Result: schemas.AuditRequested, Actor: actor,
		Filter: c.Filter, Objects: bounded(c.Objects), Reason: Clean(c.Reason, reasonMax),
	}}
	if !c.Until.IsZero() {
		until := c.Until.UTC()
		o.data.Until = &until
	}
	return o, o.write(ctx)
}

// Actor returns the name of who acts.
func (o *Operation) Actor() string { return o.data.Actor.Name }

// Outcome is how an action ended.
type Outcome struct {
	Result  schemas.AuditResult
	Counts  map[string]int
	Objects []string // found or made while the action ran
	Error   string   // kind of the error
}

// End records the result. The change was made: an error is logged only. ctx may have ended.
func (o *Operation) End(ctx context.Context, outcome Outcome) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	o.data.Result, o.data.Counts, o.data.Error = outcome.Result, outcome.Counts, outcome.Error
	if len(outcome.Objects) > 0 {
		o.data.Objects = bounded(outcome.Objects)
	}
	if err := o.write(ctx); err != nil {
		o.trail.Log.WarnContext(ctx, "recording the result of an operator's action failed", "action", o.data.Action,
			"operation", o.data.Operation, "error", err, "hint", "the action itself was recorded before")
	}
}

// Note logs one part of an action, such as one event of many.
func (o *Operation) Note(about ...any) {
	o.trail.Log.Info("operator action", append([]any{"action", o.data.Action, "operation", o.data.Operation}, about...)...)
}

// write stores the event and logs the same.
func (o *Operation) write(ctx context.Context) error {
	d := o.data
	if err := o.trail.Writer.Write(ctx, schemas.NewAuditEvent(time.Now(), o.subject, d)); err != nil {
		return err
	}
	o.Note("result", d.Result, "actor", d.Actor.Name, "tenant", d.Tenant, "bot", d.Bot, "subject", o.subject,
		"counts", d.Counts, "reason", d.Reason)
	return nil
}

func bounded(objects []string) []string {
	return objects[:min(len(objects), schemas.AuditObjectsMax)]
}

// Clean returns a text on one line, valid UTF-8, at most so many bytes.
func Clean(text string, most int) string {
	var clean []rune
	size := 0
	for _, r := range text {
		if unicode.IsControl(r) {
			r = ' '
		}
		if size += utf8.RuneLen(r); size > most {
			break
		}
		clean = append(clean, r)
	}
	return string(clean)
}
