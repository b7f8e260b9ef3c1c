// Package inspect answers what happened in conversations: which there are, which of them hold a step in hand for too long,
// and what one of them did, from the runs in Temporal and the stored replies. It changes nothing.
package inspect

import (
	"context"
	"fmt"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"golang.org/x/sync/errgroup"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/patience"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// Inspector reads the runs of a namespace and the replies of an account.
type Inspector struct {
	Temporal  client.Client
	Namespace string
	// Converter reads the payloads of histories; nil: step.DataConverter.
	Converter converter.DataConverter
	Streams   bus.Streams // of the replies; List does not need them
	UI        string      // URL of the Temporal UI, for links; "" = none
	// ReplyBytes bounds the stored replies that Show keeps of a conversation, in bytes: the latest ones; 0 = all.
	ReplyBytes int
	// RepliesOnly keeps Show from reading histories: it returns the runs, and the events as their replies name them.
	RepliesOnly bool
}

// Filter chooses runs; empty members choose all.
type Filter struct {
	schemas.BotID

	Conversation, User, Outcome string
	// Since and Until choose the runs that were open at some time between them.
	Since, Until time.Time
	// Open chooses running runs only.
	Open bool
	// Busy chooses the runs that have had an event in hand for at least this long.
	Busy  time.Duration
	Limit int // 100 when 0
}

const (
	limitDefault = 100
	pageSize     = 1000
	readers      = 16 // histories that are read at a time
)

// Run is one run of a conversation, or of a step of a bot without an order.
type Run struct {
	schemas.ConversationKey

	Workflow schemas.WorkflowRef `json:"workflow"`
	URL      string              `json:"url"`
	Status   string              `json:"status"` // as Temporal names it: running, completed, canceled, timed_out
	Started  time.Time           `json:"started"`
	Ended    *time.Time          `json:"ended,omitempty"`
	User     string              `json:"user,omitempty"`
	Step     string              `json:"step,omitempty"`    // the latest that the search attributes hold
	Outcome  string              `json:"outcome,omitempty"` // its outcome, waiting or callback
	Failures int64               `json:"failures,omitempty"`
	// InHand are the events that the run has accepted and not answered, when they were asked for.
	InHand []InHand `json:"in_hand,omitempty"`
}

// InHand is an event that a run has accepted and not answered.
type InHand struct {
	EventID string    `json:"event_id"`
	Type    string    `json:"type"`
	Step    string    `json:"step,omitempty"`
	Since   time.Time `json:"since"`
}

// query returns the filter in the language of Temporal's visibility.
func (f Filter) query(now time.Time) string {
	terms := []string{
		"WorkflowType IN (" + step.Quote(step.WorkflowConversation) + ", " + step.Quote(step.WorkflowStep) + ")",
		step.AttributeConversation + " IS NOT NULL", // the scripts of channels have none
	}
	add := func(name, value string) {
		if value != "" {
			terms = append(terms, name+" = "+step.Quote(value))
		}
	}
	add(step.AttributeTenant, f.Tenant)
	add(step.AttributeBot, f.Bot)
	if f.Conversation != "" {
		terms = append(terms, step.AttributeConversation+" IN ("+step.Quote(step.Searchable(f.Conversation))+", "+
			step.Quote(schemas.ConversationToken(f.Conversation))+")") // a bot may hide its conversations' ids
	}
	if f.User != "" {
		add(step.AttributeUser, step.Searchable(f.User))
	}
	add(step.AttributeOutcome, f.Outcome)
	running := "ExecutionStatus = 'Running'"
	if f.Open || f.Busy > 0 {
		terms = append(terms, running)
	}
	if f.Busy > 0 {
		terms = append(terms, "StartTime <= "+moment(now.Add(-f.Busy)))
	}
	if !f.Since.IsZero() {
		terms = append(terms, "("+running+" OR CloseTime >= "+moment(f.Since)+")")
	}
	if !f.Until.IsZero() {
		terms = append(terms, "StartTime < "+moment(f.Until))
	}
	return strings.Join(terms, " AND ")
}

func moment(t time.Time) string { return "'" + t.UTC().Format(time.RFC3339Nano) + "'" }

// List returns the runs that a filter chooses, the latest first.
func (i *Inspector) List(ctx context.Context, f Filter) ([]Run, error) {
	limit := f.Limit
	if limit <= 0 {
		limit = limitDefault
	}
	now := time.Now()
	request := &workflowservice.ListWorkflowExecutionsRequest{
		Namespace: i.Namespace, Query: f.query(now), PageSize: int32(min(limit, pageSize)),
	}
	if f.Busy > 0 {
		request.PageSize = pageSize
	}
	var runs []Run
	for {
		page, err := i.Temporal.ListWorkflow(ctx, request)
		if err != nil {
			return nil, fmt.Errorf("list conversations: %w", err)
		}
		patience.Renew(ctx)
		found, err := i.runsOf(ctx, page.GetExecutions(), f, now)
		if err != nil {
			return nil, err
		}
		runs = append(runs, found...)
		request.NextPageToken = page.GetNextPageToken()
		if len(runs) >= limit || len(request.GetNextPageToken()) == 0 {
			return runs[:min(limit, len(runs))], nil
		}
	}
}

// runsOf returns the runs of a page that a filter chooses; which of them are busy is read from the ends of their histories.
func (i *Inspector) runsOf(
	ctx context.Context, page []*workflowpb.WorkflowExecutionInfo, f Filter, now time.Time,
) ([]Run, error) {
	runs := make([]Run, len(page))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for n, info := range page {
		runs[n] = i.run(info)
		if f.Busy > 0 {
			group.Go(func() (err error) {
				runs[n].InHand, err = i.inHand(ctx, runs[n].Workflow, now.Add(-f.Busy))
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if f.Busy <= 0 {
		return runs, nil
	}
	var busy []Run
	for _, r := range runs {
		if len(r.InHand) > 0 {
			busy = append(busy, r)
		}
	}
	return busy, nil
}

func (i *Inspector) run(info *workflowpb.WorkflowExecutionInfo) Run {
	of := info.GetExecution()
	r := Run{
		Workflow: schemas.WorkflowRef{ID: of.GetWorkflowId(), RunID: of.GetRunId()},
		Status:   status(info.GetStatus()), Started: info.GetStartTime().AsTime(),
	}
	r.URL = i.link(r.Workflow)
	if at := info.GetCloseTime(); at != nil {
		ended := at.AsTime()
		r.Ended = &ended
	}
	held := info.GetSearchAttributes().GetIndexedFields()
	for name, into := range map[string]any{
		step.AttributeTenant: &r.Tenant, step.AttributeBot: &r.Bot, step.AttributeConversation: &r.Conversation,
		step.AttributeUser: &r.User, step.AttributeStep: &r.Step, step.AttributeOutcome: &r.Outcome,
		step.AttributeFailures: &r.Failures,
	} {
		read(held[name], into)
	}
	return r
}

// read decodes a search attribute; one that the run does not have leaves the member empty.
func read(payload *commonpb.Payload, into any) {
	if payload != nil {
		_ = converter.GetDefaultDataConverter().FromPayload(payload, into) // the server holds the type
	}
}

func status(s enumspb.WorkflowExecutionStatus) string {
	var words strings.Builder
	for n, letter := range s.String() {
		if n > 0 && letter >= 'A' && letter <= 'Z' {
			words.WriteByte('_')
		}
		words.WriteRune(letter)
	}
	return strings.ToLower(words.String())
}
