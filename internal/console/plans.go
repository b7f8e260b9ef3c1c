package console

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/internal/audit"
	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/internal/inspect"
	"github.com/hookturn/hookturn/internal/pause"
	"github.com/hookturn/hookturn/internal/redrive"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// planPause returns the planner of an action on a bot or an endpoint.
func (c *Console) planPause(action schemas.AuditAction) planner {
	resume := action == schemas.AuditBotResume || action == schemas.AuditEndpointResume
	ofEndpoint := action == schemas.AuditEndpointPause || action == schemas.AuditEndpointResume
	verb := "pause"
	if resume {
		verb = "resume"
	}
	return func(ctx context.Context, _ *connection, form url.Values) (*plan, error) {
		d, err := c.decision(ctx, form, ofEndpoint, resume)
		if err != nil {
			return nil, err
		}
		of := "bot " + d.Bot + " of tenant " + d.Tenant
		p := &plan{
			What: verb + " " + of, Fields: hidden(ownedBy(d.BotID)...), Back: link("/bots", ownedBy(d.BotID)...),
			change: audit.Change{
				BotID: d.BotID, Action: action, Subject: cmp.Or(d.URL, d.Bot), Until: d.Until, Reason: d.Reason,
			},
		}
		if ofEndpoint {
			p.What, p.Back = verb+" endpoint "+d.URL+" of "+of, link("/endpoints", ownedBy(d.BotID)...)
			p.Fields = append(p.Fields, hidden("url", d.URL)...)
		}
		p.Notes = append(p.Notes, effects[action])
		if !resume {
			p.Fields = append(p.Fields, input(form, "for", "For", "30m; empty: until it is resumed"))
		}
		p.Fields = append(p.Fields, input(form, "reason", "Reason", "for the audit event and the list"))
		if !d.Until.IsZero() {
			p.What += " until " + d.Until.Format(time.RFC3339)
		}
		p.do = func(ctx context.Context, op *audit.Operation, _ *audit.Outcome) error {
			n, err := c.connected()
			if err != nil {
				return err
			}
			d.By = op.Actor()
			return c.Retry(ctx, func(ctx context.Context) error { return pause.Decide(ctx, n.streams, d) })
		}
		return p, nil
	}
}

// effects are what follows from a pause or its end, as the tools describe it.
var effects = map[schemas.AuditAction]string{
	schemas.AuditBotPause:  "Its new events wait in JetStream, in order; steps that have begun go on.",
	schemas.AuditBotResume: "The events that wait are handled, in order.",
	schemas.AuditEndpointPause: "A step whose deadline is later waits; the others fail with rate_limited. All workers follow " +
		"within a second.",
	schemas.AuditEndpointResume: "This ends a pause by an operator, a Retry-After, an open circuit and the state after a 410.",
}

// reasonMax bounds the reason of a pause, in bytes, as in its audit event.
const reasonMax = 256

// decision returns what a form decides about a bot or an endpoint that exists.
func (c *Console) decision(ctx context.Context, form url.Values, ofEndpoint, resume bool) (store.Pause, error) {
	d := store.Pause{At: time.Now().UTC(), Resumed: resume, Reason: audit.Clean(form.Get("reason"), reasonMax)}
	var err error
	if d.BotID, err = oneBot(form); err != nil {
		return d, err
	}
	if ofEndpoint {
		if d.URL = withoutQuery(form.Get("url")); d.URL == "" {
			return d, invalid("url", "the URL of an endpoint")
		}
	}
	if text := form.Get("for"); text != "" && !resume {
		lasts, err := time.ParseDuration(text)
		if err != nil || lasts <= 0 {
			return d, invalid("for", "a time such as 30m, or nothing")
		}
		d.Until = d.At.Add(lasts).Round(time.Second)
	}
	if b, ok := c.Bots.Current().Bot(d.BotID); ok &&
		(!ofEndpoint || slices.Contains(bot.AddressesOf(b, "").Endpoints(), d.URL)) {
		return d, nil
	}
	if resume { // of a bot or an endpoint that the bot files do not have any more
		read := pause.Bots
		if ofEndpoint {
			read = pause.Endpoints
		}
		found, err := c.pauses(ctx, read)
		if err != nil || slices.ContainsFunc(found, func(p pause.Shown) bool { return p.BotID == d.BotID && p.URL == d.URL }) {
			return d, err
		}
	}
	return d, httpapi.Reject(http.StatusNotFound, "", "no bot file has this bot or endpoint, and it is not paused")
}

// planReplay plans what "starter deadletters replay SEQ" does.
func (c *Console) planReplay(ctx context.Context, n *connection, form url.Values) (*plan, error) {
	l, err := c.findLetter(ctx, n, form.Get("sequence"))
	if err != nil {
		return nil, err
	}
	sequence := strconv.FormatUint(l.Sequence, 10)
	if !l.Replayable() {
		return nil, httpapi.Reject(http.StatusConflict, fault.BadEvent,
			"the event's subject is not one of events: publish the event again under a valid one")
	}
	known, err := c.inspector(n).Knows(ctx, l, func() (client.Client, error) { return c.Temporal, nil })
	if err != nil {
		return nil, err
	}
	if known {
		return nil, httpapi.Reject(http.StatusConflict, "", inspect.Known+": "+inspect.KnownHint)
	}
	return &plan{
		What: "publish dead letter " + sequence + " again as an event of " + cut(l.Subject, cellMax),
		Notes: []string{"The event keeps its id and is handled with the bot files and secrets of now. The dead letter is " +
			"deleted."},
		Fields: hidden("sequence", sequence), Back: "/deadletters",
		change: audit.Change{
			BotID: audit.Recordable(l.BotID), Action: schemas.AuditDeadLettersReplay, Objects: []string{sequence},
		},
		do: func(ctx context.Context, _ *audit.Operation, did *audit.Outcome) error {
			_, err := bus.NewDeadLetters(n.js, n.streams).Replay(ctx, l.Sequence)
			if err == nil {
				did.Counts = map[string]int{string(l.Reason): 1}
			}
			return err
		},
	}, nil
}

// planRepeat plans what "starter steps repeat" does, for one step.
func (c *Console) planRepeat(ctx context.Context, n *connection, form url.Values) (*plan, error) {
	id, err := oneBot(form)
	if err != nil {
		return nil, err
	}
	sequence, err := position(form, "sequence")
	if err != nil {
		return nil, err
	}
	f := redrive.StepFilter{BotID: id, Conversation: form.Get("conversation")}
	found, err := c.failedSteps(ctx, n, f)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(found, func(s redrive.Step) bool { return s.Sequence == sequence })
	if at < 0 {
		return nil, httpapi.Reject(http.StatusNotFound, "", "no such step among those that ended badly")
	}
	one := found[at]
	steps, list := c.stepsOf(n, f), found[at:at+1]
	var count redrive.Count
	if err := c.readWhole(ctx, func() (err error) {
		count, err = steps.Count(ctx, list)
		return err
	}); err != nil {
		return nil, err
	}
	for reason := range count.LeftOut {
		return nil, httpapi.Reject(http.StatusConflict, "", "the step cannot be repeated: "+reason)
	}
	number := strconv.FormatUint(sequence, 10)
	return &plan{
		What: "run step " + cut(one.Step, cellMax) + " of event " + cut(one.EventID, cellMax) + " of conversation " +
			cut(one.Conversation, cellMax) + " again",
		Notes: []string{"The step becomes an event under a new id and runs with the bot files and secrets of now. Its endpoint " +
			"receives the same webhook-id, and the outcome is published as hookturn.step.late."},
		Fields: hidden(ownedBy(id, "conversation", one.Conversation, "sequence", number)...),
		Back:   link("/steps", ownedBy(id)...),
		change: audit.Change{BotID: id, Action: schemas.AuditStepsRepeat, Filter: map[string]string{
			"tenant": id.Tenant, "bot": id.Bot, "conversation": audit.NotRecorded, "step": one.Step,
		}},
		do: func(ctx context.Context, op *audit.Operation, did *audit.Outcome) error {
			return c.readWhole(ctx, func() error {
				progress, err := steps.Run(ctx, c.redriving(n, op), "console sequence="+number, list)
				return repeated(progress, err, did)
			})
		},
	}, nil
}

// repeated returns how the repetition of a step ended.
func repeated(progress *redrive.Progress, err error, did *audit.Outcome) error {
	did.Counts = progress.Counts()
	done := progress != nil && redrive.Total(progress.Done) > 0
	switch {
	case err == nil && !done:
		return httpapi.Reject(http.StatusConflict, "", "the step was not repeated: it cannot be any more")
	case err != nil && done: // that it is done is not stored
		did.Result, did.Error = schemas.AuditPartly, partlyDone
	}
	return err
}

// partlyDone is the error code of an action that was done in part, in audit events.
const partlyDone = "partly_done"

// redriving returns the options of the repetition of one step.
func (c *Console) redriving(n *connection, op *audit.Operation) redrive.Options {
	return redrive.Options{
		Rate: 1, Retry: c.Retry, Stored: store.NewRedrives(n.streams),
		Each: func(sequence uint64, left string) { op.Note("sequence", sequence, "left_out", left) },
	}
}

// planCancel plans what "starter conversations cancel CONVERSATION" does.
func (c *Console) planCancel(ctx context.Context, _ *connection, form url.Values) (*plan, error) {
	id, err := oneBot(form)
	if err != nil {
		return nil, err
	}
	key := id.WithConversation(form.Get("conversation"))
	if key.Conversation == "" {
		return nil, invalid("conversation", "the id of a conversation")
	}
	var runs []inspect.Run
	in := c.inspector(&connection{})
	if err := c.Retry(ctx, func(ctx context.Context) (err error) {
		runs, err = in.List(ctx, inspect.Filter{BotID: id, Conversation: key.Conversation, Open: true, Limit: rowsMax})
		return err
	}); err != nil {
		return nil, err
	}
	if len(runs) == 0 {
		return nil, httpapi.Reject(http.StatusNotFound, "", "the conversation does not have an open run")
	}
	p := &plan{
		What: "cancel conversation " + cut(key.Conversation, cellMax) + " of bot " + id.Bot + " of tenant " + id.Tenant +
			": " + strconv.Itoa(len(runs)) + " open runs",
		Notes: []string{"A run answers what it has in hand first, and a step that waits for entities with \"cancelled\". The " +
			"next event starts a new run."},
		Fields: hidden(ownedBy(id, "conversation", key.Conversation)...), Back: conversationLink(key),
		change: audit.Change{BotID: id, Action: schemas.AuditConversationsCancel, Filter: map[string]string{
			"tenant": id.Tenant, "bot": id.Bot, "conversation": audit.NotRecorded,
		}},
	}
	for _, run := range runs {
		p.change.Objects = append(p.change.Objects, run.Workflow.RunID)
	}
	p.do = func(ctx context.Context, _ *audit.Operation, did *audit.Outcome) error {
		return c.cancel(ctx, runs, did)
	}
	return p, nil
}

// cancel cancels runs, and returns the first error when one of them could not be. A run that has ended meanwhile is not one
// that failed.
func (c *Console) cancel(ctx context.Context, runs []inspect.Run, did *audit.Outcome) error {
	var failed error
	did.Counts = map[string]int{inspect.Cancelled: 0, inspect.NotCancelled: 0}
	for _, run := range runs {
		result := inspect.NotCancelled
		err := c.Retry(ctx, func(ctx context.Context) (err error) {
			result, err = inspect.Cancel(ctx, c.Temporal, run)
			return err
		})
		failed = cmp.Or(failed, err)
		did.Counts[result]++
	}
	switch {
	case failed != nil && did.Counts[inspect.Cancelled] > 0:
		did.Result, did.Error = schemas.AuditPartly, partlyDone
	case failed == nil && did.Counts[inspect.Cancelled] == 0:
		return httpapi.Reject(http.StatusConflict, "", "nothing was cancelled: the conversation's runs have ended")
	}
	return failed
}
