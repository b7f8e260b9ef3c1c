package console

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/hookturn/hookturn/internal/audit"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/role"
	"github.com/hookturn/hookturn/schemas"
)

// plan is an action that was checked and waits for its confirmation.
type plan struct {
	What   string   // begins with a verb
	Notes  []string // what else follows from it
	Fields []field  // of the form: what identifies the action, and what the operator may add
	Back   string   // address of the page from which it comes
	Path   string   // of the form
	Once   string   // one-time value of the form: it confirms one action

	change audit.Change
	do     func(ctx context.Context, op *audit.Operation, did *audit.Outcome) error
}

// planner checks what a form or a link asks for, and returns the plan of it. It changes nothing.
type planner func(ctx context.Context, n *connection, form url.Values) (*plan, error)

// planners returns the actions of the console.
func (c *Console) planners() map[schemas.AuditAction]planner {
	return map[schemas.AuditAction]planner{
		schemas.AuditBotPause:            c.planPause(schemas.AuditBotPause),
		schemas.AuditBotResume:           c.planPause(schemas.AuditBotResume),
		schemas.AuditEndpointPause:       c.planPause(schemas.AuditEndpointPause),
		schemas.AuditEndpointResume:      c.planPause(schemas.AuditEndpointResume),
		schemas.AuditDeadLettersReplay:   c.planReplay,
		schemas.AuditStepsRepeat:         c.planRepeat,
		schemas.AuditConversationsCancel: c.planCancel,
	}
}

// permitted returns the planner of an action that the visitor may do.
func (c *Console) permitted(r *http.Request, v *visitor) (planner, error) {
	action := schemas.AuditAction(r.PathValue("action"))
	planned, known := c.planners()[action]
	switch {
	case !known:
		return nil, httpapi.Reject(http.StatusNotFound, "", "no such action")
	case !c.Actions:
		return nil, httpapi.Reject(http.StatusForbidden, "",
			"the console is read-only: a starter with --console-actions allows actions")
	case !v.Role.May(action):
		return nil, httpapi.Reject(http.StatusForbidden, "", "the role "+string(v.Role)+" of "+v.Name+
			" is not sufficient: the action needs the role "+string(role.Needs(action)))
	}
	return planned, nil
}

// confirm shows what an action would do.
func (c *Console) confirm(w http.ResponseWriter, r *http.Request, v *visitor) error {
	planned, err := c.permitted(r, v)
	if err != nil {
		return err
	}
	p, _, err := c.planOf(r, planned, r.URL.Query())
	if err != nil {
		return err
	}
	p.Path, p.Once = r.URL.Path, c.sessions.newForm(v.session)
	return c.render(w, http.StatusOK, "confirm", v, "Confirm", p)
}

func (c *Console) planOf(r *http.Request, planned planner, form url.Values) (*plan, *connection, error) {
	n, err := c.connected()
	if err != nil {
		return nil, nil, err
	}
	p, err := planned(r.Context(), n, form)
	return p, n, err
}

// act does what a confirmed form asks for. A form acts once: when it is sent again, as by a double click, the answer is 409.
// It acts again when the first time nothing was changed.
func (c *Console) act(w http.ResponseWriter, r *http.Request, v *visitor) error {
	planned, err := c.permitted(r, v)
	if err != nil {
		return err
	}
	once := r.PostForm.Get("once")
	if !c.sessions.takeForm(v.session, once) {
		return httpapi.Reject(http.StatusConflict, "", "the form was sent before, or is too old: its action may have been "+
			"done. Look before you open the page of the action again")
	}
	p, n, err := c.planOf(r, planned, r.PostForm)
	if err != nil {
		c.sessions.returnForm(v.session, once)
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), workTimeout)
	defer cancel()
	op, err := c.begin(ctx, v, n, p)
	if err != nil {
		c.sessions.returnForm(v.session, once)
		return err
	}
	if err := c.do(ctx, op, p); err != nil {
		return err
	}
	c.sessions.notify(v.session, "Done: "+p.What+".")
	http.Redirect(w, r, p.Back, http.StatusSeeOther)
	return nil
}

// begin records that an action is requested. With an error nothing is changed.
func (c *Console) begin(ctx context.Context, v *visitor, n *connection, p *plan) (*audit.Operation, error) {
	writer := bus.NewAudit(n.js)
	actor := v.actor()
	actor.NATSUser = writer.User()
	op, err := audit.Trail{Writer: writer, Actor: actor, Log: c.Log}.Begin(ctx, p.change)
	switch {
	case natsclient.IsDenied(err):
		return nil, httpapi.Reject(http.StatusForbidden, "", "nothing was changed: the NATS user of the console may not record "+
			"this action: --console-nats-context names its login, of the user operator").Because(err, "")
	case err != nil:
		return nil, httpapi.Failed(err, "nothing was changed, the audit event is not stored").Because(err, "")
	}
	return op, nil
}

// do does an action that was recorded, and records its result. A client that disconnects does not interrupt it.
func (c *Console) do(ctx context.Context, op *audit.Operation, p *plan) error {
	did := audit.Outcome{Result: schemas.AuditDone}
	err := p.do(ctx, op, &did)
	if err != nil && did.Result == schemas.AuditDone {
		did.Result, did.Error = schemas.AuditFailed, "failed"
		if problem, ok := errors.AsType[*httpapi.Problem](err); ok && problem.Status < http.StatusInternalServerError {
			did.Error = "refused"
		}
	}
	op.End(ctx, did)
	return unfinished(err, did)
}

// unfinished returns the problem of an action that failed; nil without an error. Only a problem of the action's own, and a
// dead letter that is not stored, mean that nothing was changed: after any other error a part may have been, and is not to
// be repeated unseen.
func unfinished(err error, did audit.Outcome) error {
	problem, known := errors.AsType[*httpapi.Problem](err)
	switch {
	case err == nil, known && did.Result != schemas.AuditPartly:
		return err
	case errors.Is(err, bus.ErrNoDeadLetter):
		return httpapi.Reject(http.StatusNotFound, "", noLetter)
	}
	status, text := http.StatusInternalServerError, "the action may have been done in part: look before you repeat it"
	if len(did.Counts) > 0 {
		text += " (" + countsText(did.Counts) + ")"
	}
	fail, ofOurs := errors.AsType[*fault.Fault](err)
	switch {
	case known:
		status, text = problem.Status, problem.Detail+": "+text
	case natsclient.IsDenied(err):
		status, text = http.StatusForbidden, noRight+": "+text
	case ofOurs:
		text = fail.Message + ": " + text
	}
	return httpapi.Reject(status, "", text).Because(err, "")
}

// countsText returns counts by name, such as "cancelled: 1, not_cancelled: 2".
func countsText(counts map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, name+": "+strconv.Itoa(counts[name]))
	}
	return strings.Join(parts, ", ")
}

// hidden returns fields that a form repeats.
func hidden(pairs ...string) []field {
	var fields []field
	for n := 0; n+1 < len(pairs); n += 2 {
		fields = append(fields, field{Name: pairs[n], Value: pairs[n+1], Hidden: true})
	}
	return fields
}
