package console

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// everyAction are links to the actions of the console, which are checked further when they are permitted.
func everyAction() map[schemas.AuditAction]string {
	all := map[schemas.AuditAction]string{}
	for action := range (&Console{}).planners() {
		all[action] = "/do/" + string(action) + "?tenant=default&bot=none&url=https://none.example/&conversation=none&sequence=7"
	}
	return all
}

func TestConsole_ReadOnly(t *testing.T) {
	t.Parallel()
	r := newConnectedRig(t, func(o *Options) { o.Actions = false })
	b := r.login(t, ownerToken)
	for action, path := range everyAction() {
		require.Equal(t, http.StatusForbidden, b.get(path).Code, action)
		form, err := url.ParseQuery(strings.SplitN(path, "?", 2)[1])
		require.NoError(t, err)
		form.Set("bot", "shop")
		form.Set("url", orders)
		w := b.post("/do/"+string(action), form)
		require.Equal(t, http.StatusForbidden, w.Code, action)
		require.Contains(t, w.Body.String(), "read-only")
	}
	for _, path := range []string{"/bots", "/bot?tenant=default&bot=shop"} {
		require.NotContains(t, b.page(t, path), "/do/")
	}
	require.Contains(t, b.page(t, "/bots"), "read-only console")
	require.Empty(t, r.audited(t))
	decided, err := store.NewPauses(r.streams).List(t.Context())
	require.NoError(t, err)
	require.Empty(t, decided)
}

// TestConsole_Roles is the table of docs/security.md: a viewer looks, the others may do each action of the console.
func TestConsole_Roles(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for token, may := range map[string]bool{viewerToken: false, operatorToken: true, ownerToken: true} {
		b := r.login(t, token)
		for action, path := range everyAction() {
			require.Equal(t, !may, b.get(path).Code == http.StatusForbidden, "%s %s", token, action)
			require.Equal(t, !may, b.post("/do/"+string(action), url.Values{}).Code == http.StatusForbidden, "%s %s", token, action)
		}
	}
	b := r.login(t, ownerToken)
	for _, action := range schemas.AuditActions() {
		if _, of := everyAction()[action]; !of {
			require.Equal(t, http.StatusNotFound, b.get("/do/"+string(action)).Code, action)
		}
	}
}

func TestConsole_LinksOfActionsByRole(t *testing.T) {
	t.Parallel()
	r := newConnectedRig(t)
	require.NotContains(t, r.login(t, viewerToken).page(t, "/bots"), "/do/")
	require.Contains(t, r.login(t, operatorToken).page(t, "/bots"), "/do/bot_pause?bot=shop&amp;tenant=default")
}

func TestConsole_FormsOfOthers(t *testing.T) {
	t.Parallel()
	r := newConnectedRig(t)
	b, other := r.login(t, operatorToken), r.login(t, operatorToken)
	form := func(csrf string) url.Values {
		once := r.sessions.newForm(b.cookie.Value)
		return url.Values{"tenant": {"default"}, "bot": {"shop"}, "csrf": {csrf}, "once": {once}}
	}
	for name, change := range map[string]func() *http.Request{
		"without the token":  func() *http.Request { return r.form("/do/bot_pause", form("")) },
		"of another session": func() *http.Request { return r.form("/do/bot_pause", form(other.csrf())) },
		"token in the query": func() *http.Request {
			return r.form("/do/bot_pause?csrf="+b.csrf(), url.Values{"tenant": {"default"}, "bot": {"shop"}})
		},
		"a page of another one": func() *http.Request {
			return withHeader(r.form("/do/bot_pause", form(b.csrf())), "Sec-Fetch-Site", "cross-site")
		},
		"a sibling's page": func() *http.Request {
			return withHeader(r.form("/do/bot_pause", form(b.csrf())), "Sec-Fetch-Site", "same-site")
		},
		"another origin": func() *http.Request {
			return withHeader(r.form("/do/bot_pause", form(b.csrf())), "Origin", "https://evil.example")
		},
		"not a form": func() *http.Request {
			return withHeader(r.form("/do/bot_pause", form(b.csrf())), "Content-Type", "text/plain")
		},
	} {
		request := change()
		request.AddCookie(b.cookie)
		require.Equal(t, http.StatusForbidden, r.send(request).Code, name)
	}
	login := withHeader(r.form("/login", url.Values{"token": {viewerToken}}), "Sec-Fetch-Site", "cross-site")
	require.Equal(t, http.StatusForbidden, r.send(login).Code, "a login is a form as well")
	require.Empty(t, r.audited(t))

	request := withHeader(r.form("/do/bot_pause", form(b.csrf())), "Origin", "http://example.com") // the host of httptest
	request.AddCookie(b.cookie)
	require.Equal(t, http.StatusSeeOther, r.send(request).Code)
	require.Len(t, r.audited(t), 2)
}

func withHeader(r *http.Request, name, value string) *http.Request {
	r.Header.Set(name, value)
	return r
}

func TestConsole_RequestsBounded(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.login(t, operatorToken)
	require.Equal(t, http.StatusBadRequest,
		b.post("/do/bot_pause", url.Values{"reason": {strings.Repeat("x", bodyMax)}}).Code)
	for range requestsMax {
		r.running <- struct{}{}
	}
	w := b.get("/bots")
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.NotEmpty(t, w.Header().Get("Retry-After"))
	require.Contains(t, w.Body.String(), "as many pages as it may")
	require.Equal(t, http.StatusSeeOther, r.login(t, viewerToken).post("/logout", url.Values{}).Code, "a session can end")
	<-r.running

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	r.Connect(nil, r.streams)
	r.whole <- struct{}{}
	request := httptest.NewRequest(http.MethodGet, "/conversation?tenant=default&bot=shop&conversation=c", nil).WithContext(ended)
	request.AddCookie(b.cookie)
	require.Equal(t, http.StatusServiceUnavailable, r.send(request).Code)
}

// slowClient is a client that reads slowly: a function is called while a page is written.
type slowClient struct {
	*httptest.ResponseRecorder

	reads func()
}

func (c *slowClient) WriteHeader(status int) {
	c.reads()
	c.ResponseRecorder.WriteHeader(status)
}

func (c *slowClient) Write(text []byte) (int, error) {
	c.reads()
	return c.ResponseRecorder.Write(text)
}

// TestConsole_SlowClient: a page that is written does not keep another one from being made.
func TestConsole_SlowClient(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := r.login(t, viewerToken)
	r.temporal.On("ListWorkflow", mock.Anything, mock.Anything).Run(func(mock.Arguments) { require.Len(t, r.running, 1) }).
		Return(&workflowservice.ListWorkflowExecutionsResponse{}, nil)
	reads := 0
	for _, path := range []string{"/", "/conversations"} { // a redirect, and a page
		request := httptest.NewRequest(http.MethodGet, path, nil)
		request.AddCookie(b.cookie)
		r.handler.ServeHTTP(&slowClient{httptest.NewRecorder(), func() {
			require.Empty(t, r.running)
			reads++
		}}, request)
		require.Empty(t, r.running)
	}
	require.GreaterOrEqual(t, reads, 3)
}

// TestConsole_WholeHistoriesBounded: what repeats a step reads the history of its run, alone.
func TestConsole_WholeHistoriesBounded(t *testing.T) {
	t.Parallel()
	r := newConnectedRig(t)
	key := shop.WithConversation("c-1")
	r.hasRun(t, key, eventOf(t, "e-1", "c-1", "hello"))
	reads := 0
	r.read = func() {
		require.Len(t, r.whole, 1)
		reads++
	}
	r.failed(t, key, "e-1")
	b := r.login(t, operatorToken)
	b.page(t, conversationLink(key))
	require.Equal(t, http.StatusSeeOther, b.post("/do/steps_repeat", stepForm("1")).Code)
	require.Equal(t, 3, reads, "the page, the check and the repetition")
	require.Empty(t, r.whole)
}
