package console

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hookturn/hookturn/internal/audit"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/internal/inspect"
	"github.com/hookturn/hookturn/internal/role"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// Bounds of the page of one conversation.
const (
	runsShown = 3       // as the tool reads without --runs
	replyMax  = 8 << 20 // bytes of replies that are read
	pageMax   = 2 << 20 // bytes of texts of other parties
	partsMax  = 50      // replies of an event, attempts and messages of a reply
)

const clock = "2006-01-02 15:04:05.000"

// conversationPage is what a page shows of one conversation.
type conversationPage struct {
	Runs    table
	Cancel  string // address of the action; "" = not offered
	Notes   []string
	Earlier string // address of the page with the events before
	Events  []eventShown
}

type eventShown struct {
	At, What, ID, User, State, URL string

	Replies []replyShown
}

type replyShown struct {
	At, What, After, Error string

	Attempts, Messages []string
}

// conversation shows what "starter conversations show" prints.
func (c *Console) conversation(w http.ResponseWriter, r *http.Request, v *visitor) error {
	query := r.URL.Query()
	id, err := oneBot(query)
	if err != nil {
		return err
	}
	key := id.WithConversation(query.Get("conversation"))
	if key.Conversation == "" {
		return invalid("conversation", "the id of a conversation")
	}
	end, err := position(query, "end")
	if err != nil {
		return err
	}
	readable := c.Reads == nil || v.Role.May(schemas.AuditPayloadsDecrypt)
	shown, err := c.read(r.Context(), v, key, readable)
	if err != nil {
		return err
	}
	p := c.pageOf(v, shown, readable)
	last := len(shown.Events)
	if end > 0 {
		last = int(min(end, uint64(last)))
	}
	first := max(0, last-rowsMax)
	if first > 0 {
		p.Earlier = nextOf(r, "end", strconv.Itoa(first))
	}
	left := budgetOf(shown)
	for _, e := range slices.Backward(shown.Events[first:last]) { // the latest texts are cut last
		p.Events = append(p.Events, left.event(e))
	}
	slices.Reverse(p.Events)
	return c.render(w, http.StatusOK, "conversation", v, "Conversation "+cut(key.Conversation, cellMax), p)
}

// read returns a conversation. Encrypted histories are read for the role that may
// decrypt them only, and that is recorded before.
func (c *Console) read(
	ctx context.Context, v *visitor, key schemas.ConversationKey, readable bool,
) (shown *inspect.Conversation, err error) {
	n, err := c.connected()
	if err != nil {
		return nil, err
	}
	err = c.readWhole(ctx, func() error {
		shown, err = c.readRuns(ctx, n, v, key, readable)
		return err
	})
	return shown, err
}

// readWhole calls read, which reads whole histories, while fewer than wholeMax others do. With an error of its own nothing
// was read.
func (c *Console) readWhole(ctx context.Context, read func() error) error {
	select {
	case c.whole <- struct{}{}:
		defer func() { <-c.whole }()
		return read()
	case <-ctx.Done():
		return httpapi.RejectFor(time.Second, "", "the console reads as many conversations as it may: try again")
	}
}

func (c *Console) readRuns(
	ctx context.Context, n *connection, v *visitor, key schemas.ConversationKey, readable bool,
) (shown *inspect.Conversation, err error) {
	record := c.Reads != nil && readable
	if record {
		if err := c.Reads.Add(ctx, v.actor(), c.Namespace, map[string]int{audit.CountRequests: 1}); err != nil {
			return nil, httpapi.Failed(err, "the audit event is not stored, nothing was decrypted").
				Because(err, "storing an audit event failed")
		}
	}
	in := c.inspector(n)
	in.ReplyBytes, in.RepliesOnly = replyMax, !readable
	err = c.Retry(ctx, func(ctx context.Context) (err error) {
		shown, err = in.Show(ctx, key, runsShown)
		return err
	})
	if err == nil && shown == nil {
		err = httpapi.Reject(http.StatusNotFound, "", "no such conversation of bot "+key.Bot+" of tenant "+key.Tenant+
			": Temporal keeps closed runs for the retention of its namespace, NATS keeps replies for 72 hours")
	}
	if err == nil && record {
		err = c.Reads.Add(ctx, v.actor(), c.Namespace, map[string]int{audit.CountPayloads: payloadsOf(shown)})
	}
	return shown, err
}

// payloadsOf counts the events that come from histories.
func payloadsOf(shown *inspect.Conversation) int {
	n := 0
	for _, e := range shown.Events {
		if e.Type != "" {
			n++
		}
	}
	return n
}

// pageOf returns the page without its events.
func (c *Console) pageOf(v *visitor, shown *inspect.Conversation, readable bool) conversationPage {
	p := conversationPage{Runs: table{
		Head:  []string{"Run", "Since", "Ended", "User", "Temporal UI"},
		Empty: "Temporal does not keep runs of this conversation.",
	}}
	open := false
	for _, run := range shown.Runs {
		row := append(texts(run.Status, moment(&run.Started), moment(run.Ended), cmp.Or(run.User, "-")),
			cell{Text: cut(run.Workflow.RunID, cellMax), Href: run.URL})
		p.Runs.Rows = append(p.Runs.Rows, row)
		open = open || run.Ended == nil
	}
	if open {
		p.Cancel = c.offer(v, schemas.AuditConversationsCancel, "cancel",
			ownedBy(shown.BotID, "conversation", shown.Conversation)...).Href
	}
	if !readable {
		p.Notes = append(p.Notes, "The histories of the runs are encrypted, and shown to the role "+
			string(role.Needs(schemas.AuditPayloadsDecrypt))+" only: this page has what the replies have.")
	}
	if shown.LeftOut > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("%d earlier replies are left out: \"starter conversations show\" prints them.",
			shown.LeftOut))
	}
	return p
}

// budget is what a page may still show.
type budget struct {
	bytes   int  // of texts
	leftOut bool // earlier replies are not read
}

func budgetOf(shown *inspect.Conversation) budget {
	return budget{bytes: pageMax, leftOut: shown.LeftOut > 0}
}

// text returns a text of another party as far as the page may show it.
func (b *budget) text(text string) string {
	shown := cut(text, max(0, min(textMax, b.bytes)))
	b.bytes -= min(len(text), textMax)
	return shown
}

func (b *budget) event(e inspect.Event) eventShown {
	shown := eventShown{
		At: e.At.UTC().Format(clock), What: cmp.Or(step.UpdateName(e.Type), "event"), ID: cut(e.ID, cellMax), URL: e.URL,
	}
	if e.Step != "" {
		shown.What += " " + cut(e.Step, cellMax)
	}
	if len(e.Message) > 0 {
		shown.User = b.text(string(e.Message))
	}
	for _, r := range e.Replies[max(0, len(e.Replies)-partsMax):] {
		shown.Replies = append(shown.Replies, b.reply(e, r))
	}
	switch {
	case e.InHand:
		shown.State = "in hand for " + time.Since(e.At).Round(time.Millisecond).String()
	case len(e.Replies) == 0 && e.Result != nil && e.Result.Outcome != "":
		reply := "the reply is not stored any more"
		if b.leftOut {
			reply = "the reply is left out, or not stored any more"
		}
		shown.State = fmt.Sprintf("%s after %d attempts; %s",
			outcomeText(string(e.Result.Outcome), e.Result.Error), e.Result.Attempts, reply)
	}
	return shown
}

func (b *budget) reply(e inspect.Event, r inspect.Reply) replyShown {
	shown := replyShown{
		At: r.Time.UTC().Format(clock), What: step.UpdateName(r.Type),
		After: r.Time.Sub(e.At).Round(time.Millisecond).String(),
	}
	switch {
	case r.Outcome != "":
		code := ""
		if r.Error != nil {
			code = r.Error.Kind
		}
		shown.What += ": " + outcomeText(string(r.Outcome), code)
	case len(r.Missing) > 0:
		shown.What += ": " + b.text(strings.Join(r.Missing, ", "))
	case r.Reason != "":
		shown.What += ": " + b.text(r.Reason)
	}
	if r.Error != nil {
		shown.Error = b.text(r.Error.Message)
	}
	for _, a := range r.Attempts[:min(partsMax, len(r.Attempts))] {
		shown.Attempts = append(shown.Attempts, attemptText(a))
	}
	for _, m := range r.Messages[:min(partsMax, len(r.Messages))] {
		shown.Messages = append(shown.Messages, b.text(inspect.TextOf(m)))
	}
	return shown
}

func outcomeText(outcome, code string) string {
	if code == "" {
		return outcome
	}
	return outcome + " (" + code + ")"
}

func attemptText(a schemas.Attempt) string {
	result := a.Error
	if a.Status != 0 {
		result = strings.TrimSpace(strconv.Itoa(a.Status) + " " + a.Error)
	}
	return fmt.Sprintf("attempt %d at %s: %s, %s, %.0f ms (dns %.0f, connect %.0f, tls %.0f, first byte %.0f), %d bytes",
		a.N, a.Started.UTC().Format("15:04:05.000"), cut(withoutQuery(a.URL), cellMax), result, a.TotalMs, a.DNSMs,
		a.ConnectMs, a.TLSMs, a.FirstByteMs, a.Bytes)
}
