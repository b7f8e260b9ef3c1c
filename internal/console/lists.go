package console

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/inspect"
	"github.com/hookturn/hookturn/internal/pause"
	"github.com/hookturn/hookturn/internal/redrive"
	"github.com/hookturn/hookturn/schemas"
)

// conversations lists runs as "starter conversations list" does, the latest first.
func (c *Console) conversations(w http.ResponseWriter, r *http.Request, v *visitor) error {
	query := r.URL.Query()
	of, err := owner(query)
	if err != nil {
		return err
	}
	f := inspect.Filter{
		BotID: of, Conversation: query.Get("conversation"), User: query.Get("user"), Outcome: query.Get("outcome"),
		Limit: rowsMax + 1,
	}
	if f.Since, err = since(query); err != nil {
		return err
	}
	var runs []inspect.Run
	in := c.inspector(&connection{})
	if err := c.Retry(r.Context(), func(ctx context.Context) (err error) {
		runs, err = in.List(ctx, f)
		return err
	}); err != nil {
		return err
	}
	l := list{Filters: append(ownerInputs(query), input(query, "user", "User", ""),
		input(query, "conversation", "Conversation", ""), input(query, "outcome", "Outcome", "", outcomes()...),
		sinceInput(query))}
	shown, more := bounded(runs, 0)
	if more > 0 {
		l.Notes = append(l.Notes, "The first 100 runs. More match: narrow the filter.")
	}
	l.Table = table{
		Head: []string{
			"Conversation", headTenant, headBot, "User", "Status", "Started", "Ended", "Step", "Outcome", "Failed",
		},
		Empty: "No conversations match.",
	}
	for _, run := range shown {
		row := texts(run.Conversation, run.Tenant, run.Bot, run.User, run.Status, moment(&run.Started), moment(run.Ended),
			run.Step, run.Outcome, strconv.FormatInt(run.Failures, 10))
		row[0].Href = conversationLink(run.ConversationKey)
		l.Table.Rows = append(l.Table.Rows, row)
	}
	return c.render(w, http.StatusOK, "list", v, "Conversations", l)
}

func conversationLink(key schemas.ConversationKey) string {
	return link("/conversation", ownedBy(key.BotID, "conversation", key.Conversation)...)
}

// steps lists steps that ended badly as "starter steps list" does, oldest first.
func (c *Console) steps(w http.ResponseWriter, r *http.Request, v *visitor) error {
	query := r.URL.Query()
	n, err := c.connected()
	if err != nil {
		return err
	}
	f := redrive.StepFilter{
		Conversation: query.Get("conversation"), Step: query.Get("step"), Kind: query.Get("kind"),
		Outcome: schemas.Outcome(query.Get("reason")),
	}
	if f.BotID, err = owner(query); err != nil {
		return err
	}
	if f.Since, err = since(query); err != nil {
		return err
	}
	after, err := position(query, "after")
	if err != nil {
		return err
	}
	found, err := c.failedSteps(r.Context(), n, f)
	if err != nil {
		return err
	}
	found = slices.DeleteFunc(found, func(s redrive.Step) bool { return s.Sequence <= after })
	l := list{Filters: append(ownerInputs(query), input(query, "conversation", "Conversation", ""),
		input(query, "step", "Step", ""), input(query, "kind", "Error code", "", kinds()...),
		input(query, "reason", "Outcome", "", string(schemas.OutcomeBotBreak), string(schemas.OutcomeFailure),
			string(schemas.OutcomeUndelivered)), sinceInput(query))}
	shown, more := bounded(found, 0)
	if more > 0 {
		l.Next = nextOf(r, "after", strconv.FormatUint(shown[rowsMax-1].Sequence, 10))
	}
	l.Table = table{
		Head: []string{
			"Time", headTenant, headBot, "Conversation", "Step", "Event", "Outcome", "Error code", "Message", "Repeated", "",
		},
		Empty: "No steps match.",
	}
	for _, s := range shown {
		row := texts(moment(&s.Time), s.Tenant, s.Bot, s.Conversation, s.Step, s.EventID, string(s.Outcome), s.Kind,
			s.Message, strconv.Itoa(s.Repeated))
		row[3].Href = conversationLink(s.ConversationKey)
		l.Table.Rows = append(l.Table.Rows, append(row, c.offer(v, schemas.AuditStepsRepeat, "repeat", ownedBy(s.BotID,
			"conversation", s.Conversation, "sequence", strconv.FormatUint(s.Sequence, 10))...)))
	}
	return c.render(w, http.StatusOK, "list", v, "Failed steps", l)
}

func (c *Console) stepsOf(n *connection, f redrive.StepFilter) *redrive.Steps {
	return &redrive.Steps{Inspector: c.inspector(n), Publisher: bus.NewPublisher(n.js), Filter: f}
}

// failedSteps returns the steps that a filter chooses, oldest first.
func (c *Console) failedSteps(ctx context.Context, n *connection, f redrive.StepFilter) (found []redrive.Step, err error) {
	err = c.Retry(ctx, func(ctx context.Context) (err error) {
		found, err = c.stepsOf(n, f).List(ctx)
		return err
	})
	return found, err
}

// letters lists dead letters as "starter deadletters list" does, oldest first.
func (c *Console) letters(w http.ResponseWriter, r *http.Request, v *visitor) error {
	query := r.URL.Query()
	n, err := c.connected()
	if err != nil {
		return err
	}
	f := bus.DeadLetterFilter{
		Conversation: query.Get("conversation"), Reason: fault.Kind(query.Get("reason")), Limit: rowsMax + 1,
	}
	if f.BotID, err = owner(query); err != nil {
		return err
	}
	if f.Since, err = since(query); err != nil {
		return err
	}
	if f.After, err = position(query, "after"); err != nil {
		return err
	}
	var found []bus.DeadLetter
	if err := c.Retry(r.Context(), func(ctx context.Context) (err error) {
		found, err = bus.NewDeadLetters(n.js, n.streams).List(ctx, f)
		return err
	}); err != nil {
		return err
	}
	l := list{Filters: append(ownerInputs(query), input(query, "conversation", "Conversation", ""),
		input(query, "reason", "Reason", "", kinds()...), sinceInput(query))}
	shown, more := bounded(found, 0)
	if more > 0 {
		l.Next = nextOf(r, "after", strconv.FormatUint(shown[rowsMax-1].Sequence, 10))
	}
	l.Table = table{
		Head:  []string{"Sequence", "Time", headTenant, headBot, "Conversation", "Reason", "Bytes", "Detail"},
		Empty: "No dead letters match.",
	}
	for _, one := range shown {
		sequence := strconv.FormatUint(one.Sequence, 10)
		row := texts(sequence, moment(&one.Time), one.Tenant, one.Bot, one.Conversation, string(one.Reason),
			strconv.Itoa(one.Size), one.Detail)
		row[0].Href = "/deadletters/" + sequence
		l.Table.Rows = append(l.Table.Rows, row)
	}
	return c.render(w, http.StatusOK, "list", v, "Dead letters", l)
}

// endpoints lists endpoints as "starter endpoints list" does.
func (c *Console) endpoints(w http.ResponseWriter, r *http.Request, v *visitor) error {
	asked, err := ownedPageOf(r.URL.Query())
	if err != nil {
		return err
	}
	found, err := c.pauses(r.Context(), pause.Endpoints)
	if err != nil {
		return err
	}
	shown, next := pageOf(r, asked, found, func(p pause.Shown) schemas.BotID { return p.BotID })
	l := list{Filters: ownerInputs(r.URL.Query()), Next: next, Notes: []string{
		"Endpoints that are not in their normal state. The page of a bot has all its endpoints.",
	}}
	l.Table = table{
		Head:  []string{headTenant, headBot, "Endpoint", "State", "Until", "By", "Reason", ""},
		Empty: "All endpoints that match are in their normal state.",
	}
	for _, p := range shown {
		row := texts(p.Tenant, p.Bot, p.URL, p.State, moment(p.Until), cmp.Or(p.By, "-"), p.Reason)
		row[1].Href = botLink(p.BotID)
		l.Table.Rows = append(l.Table.Rows,
			append(row, c.offer(v, schemas.AuditEndpointResume, "resume", ownedBy(p.BotID, "url", p.URL)...)))
	}
	return c.render(w, http.StatusOK, "list", v, "Endpoints", l)
}

// pauses returns what is not in its normal state.
func (c *Console) pauses(
	ctx context.Context, read func(context.Context, bus.Streams) ([]pause.Shown, error),
) (found []pause.Shown, err error) {
	n, err := c.connected()
	if err != nil {
		return nil, err
	}
	err = c.Retry(ctx, func(ctx context.Context) (err error) {
		found, err = read(ctx, n.streams)
		return err
	})
	return found, err
}

// offer returns the link to an action that the visitor may do here; an empty cell otherwise.
func (c *Console) offer(v *visitor, action schemas.AuditAction, text string, pairs ...string) cell {
	if !c.Actions || !v.Role.May(action) {
		return cell{}
	}
	return cell{Text: text, Href: link("/do/"+string(action), pairs...)}
}
