package console

import (
	"context"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"github.com/hookturn/hookturn/internal/audit"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/httpapi"
	"github.com/hookturn/hookturn/internal/inspect"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/redrive"
	"github.com/hookturn/hookturn/schemas"
)

var hiddenInput = regexp.MustCompile(`<input type="hidden" name="(\w+)" value="([^"]*)">`)

// formOf returns the form of a page as a browser sends it.
func formOf(page string) url.Values {
	form := url.Values{}
	for _, input := range hiddenInput.FindAllStringSubmatch(page, -1) {
		form.Set(input[1], html.UnescapeString(input[2]))
	}
	return form
}

// confirm sends the form of a page, and returns the answer.
func (b *browser) confirm(path string, form url.Values) *httptest.ResponseRecorder {
	request := b.form(path, form)
	request.AddCookie(b.cookie)
	return b.send(request)
}

// TestActions_FormSentTwice: a double click, or the form sent again after a lost answer, does not act again.
func TestActions_FormSentTwice(t *testing.T) {
	t.Parallel()
	r := newConnectedRig(t)
	key := shop.WithConversation("c-1")
	r.hasRun(t, key, eventOf(t, "e-1", "c-1", "hello"))
	r.failed(t, key, "e-1")
	r.write(t, 1, "c-1", "no bot file", rawEvent(t, "e-9", "c-1"))
	r.temporal.On("CancelWorkflow", mock.Anything, mock.Anything, mock.Anything).Return(nil)
	b := r.login(t, operatorToken)
	for action := range r.planners() {
		form := stepForm("1")
		form.Set("url", orders)
		path := "/do/" + string(action)
		form = formOf(b.page(t, path+"?"+form.Encode()))
		before := len(r.audited(t))
		require.Equal(t, http.StatusSeeOther, b.confirm(path, form).Code, action)
		again := b.confirm(path, form)
		require.Equal(t, http.StatusConflict, again.Code, "%s: %s", action, again.Body)
		require.Contains(t, again.Body.String(), "the form was sent before")
		require.Len(t, r.audited(t), before+2, action)
	}
	r.temporal.AssertNumberOfCalls(t, "CancelWorkflow", 1)
	require.Equal(t, 2, r.stored(t)["events"], "the dead letter and the step, once each")
}

// TestActions_FormSentAgainUnchanged: a form that has changed nothing can be sent again.
func TestActions_FormSentAgainUnchanged(t *testing.T) {
	t.Parallel()
	r := newConnectedRig(t)
	b := r.login(t, operatorToken)
	form := formOf(b.page(t, "/do/bot_pause?tenant=default&bot=shop"))
	form.Set("for", "soon")
	require.Equal(t, http.StatusBadRequest, b.confirm("/do/bot_pause", form).Code)
	form.Set("for", "1h")
	nc, js, err := bus.Connect(t.Context(), natsclient.Login{URL: r.url}, t.Name(), nil)
	require.NoError(t, err)
	nc.Close()
	r.Connect(js, r.streams)
	w := b.confirm("/do/bot_pause", form)
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Contains(t, w.Body.String(), "nothing was changed")
	r.Connect(r.js, r.streams)
	require.Equal(t, http.StatusSeeOther, b.confirm("/do/bot_pause", form).Code)
	require.Equal(t, http.StatusConflict, b.confirm("/do/bot_pause", form).Code)
}

func TestActions_FormsOfASession(t *testing.T) {
	t.Parallel()
	r := newConnectedRig(t)
	b, other := r.login(t, operatorToken), r.login(t, operatorToken)
	form := url.Values{"tenant": {"default"}, "bot": {"shop"}, "csrf": {b.csrf()}}
	for name, once := range map[string]string{
		"none": "", "unknown": "x", "of another session": r.sessions.newForm(other.cookie.Value),
	} {
		form.Set("once", once)
		require.Equal(t, http.StatusConflict, b.confirm("/do/bot_pause", form).Code, name)
	}
	id := b.cookie.Value
	oldest, next := r.sessions.newForm(id), r.sessions.newForm(id)
	for range formsMax - 1 {
		r.sessions.newForm(id)
	}
	require.False(t, r.sessions.takeForm(id, oldest), "one of too many")
	require.True(t, r.sessions.takeForm(id, next))
	r.sessions.end(id)
	require.False(t, r.sessions.takeForm(id, r.sessions.newForm(id)))
	require.Empty(t, r.audited(t))
}

// TestUnfinished: after an error that does not show what was changed, the page does not recommend another try.
func TestUnfinished(t *testing.T) {
	t.Parallel()
	const look = "the action may have been done in part: look before you repeat it"
	partly := audit.Outcome{Result: schemas.AuditPartly, Counts: map[string]int{"not_cancelled": 2, "cancelled": 1}}
	for name, c := range map[string]struct {
		err    error
		did    audit.Outcome
		status int
		detail string
	}{
		"NATS away": {fmt.Errorf("x: %w", nats.ErrTimeout), audit.Outcome{Result: schemas.AuditFailed}, 500, look},
		"partly":    {errors.New("x"), partly, 500, look + " (cancelled: 1, not_cancelled: 2)"},
		"stopped":   {context.DeadlineExceeded, partly, 500, look + " (cancelled: 1, not_cancelled: 2)"},
		"denied":    {&natsclient.DeniedError{}, audit.Outcome{}, 403, noRight + ": " + look},
		"full":      {fault.New(fault.QueueFull, "the stream is full"), audit.Outcome{}, 500, "the stream is full: " + look},
		"own":       {httpapi.Reject(409, "", "it cannot be"), audit.Outcome{Result: schemas.AuditFailed}, 409, "it cannot be"},
		"own, partly": {
			httpapi.Reject(409, "", "it cannot be"), partly, 409, "it cannot be: " + look + " (cancelled: 1, not_cancelled: 2)",
		},
		"no letter": {fmt.Errorf("x: %w", bus.ErrNoDeadLetter), audit.Outcome{}, 404, noLetter},
	} {
		p, ok := errors.AsType[*httpapi.Problem](unfinished(c.err, c.did))
		require.True(t, ok, name)
		require.Equal(t, []any{c.status, c.detail}, []any{p.Status, p.Detail}, name)
	}
	require.NoError(t, unfinished(nil, audit.Outcome{Result: schemas.AuditDone}))
}

func TestActions_RepeatedStep(t *testing.T) {
	t.Parallel()
	done := &redrive.Progress{Done: map[string]int{"failure": 1}}
	away := errors.New("away")
	var did audit.Outcome
	require.NoError(t, repeated(done, nil, &did))
	require.Equal(t, map[string]int{"failure": 1}, did.Counts)
	require.ErrorIs(t, repeated(done, away, &did), away)
	require.Equal(t, audit.Outcome{Result: schemas.AuditPartly, Error: "partly_done", Counts: did.Counts}, did)
	did = audit.Outcome{}
	require.ErrorIs(t, repeated(nil, away, &did), away)
	require.Empty(t, did.Result)
	require.ErrorContains(t, repeated(&redrive.Progress{LeftOut: map[string]int{"expired": 1}}, nil, &did), "not repeated")
}

// TestActions_CancelEndedRun: a run that ended before it was cancelled needs nothing.
func TestActions_CancelEndedRun(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	results := map[string]error{"open": nil, "over": serviceerror.NewNotFound("already completed"), "away": errors.New("away")}
	runs := map[string]inspect.Run{}
	for id, result := range results {
		r.temporal.On("CancelWorkflow", mock.Anything, "c", id).Return(result)
		runs[id] = inspect.Run{Workflow: schemas.WorkflowRef{ID: "c", RunID: id}}
	}
	cancel := func(ids ...string) (audit.Outcome, error) {
		var of []inspect.Run
		for _, id := range ids {
			of = append(of, runs[id])
		}
		var did audit.Outcome
		err := r.cancel(t.Context(), of, &did)
		return did, err
	}
	did, err := cancel("over", "open")
	require.NoError(t, err)
	require.Equal(t, audit.Outcome{Counts: map[string]int{"cancelled": 1, "not_cancelled": 0, "ended": 1}}, did)
	did, err = cancel("over")
	require.ErrorContains(t, err, "nothing was cancelled: the conversation's runs have ended")
	require.Equal(t, map[string]int{"cancelled": 0, "not_cancelled": 0, "ended": 1}, did.Counts)
	did, err = cancel("open", "away", "over")
	require.ErrorContains(t, err, "away")
	require.Equal(t, schemas.AuditPartly, did.Result)
	require.Equal(t, map[string]int{"cancelled": 1, "not_cancelled": 1, "ended": 1}, did.Counts)
}
