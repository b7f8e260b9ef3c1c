package e2e

import (
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/stack"
	"github.com/hookturn/hookturn/internal/inspect"
	"github.com/hookturn/hookturn/internal/permissions"
	"github.com/hookturn/hookturn/schemas"
)

// consoleBrowser is a browser at the console of a starter.
type consoleBrowser struct {
	client http.Client
	at     string
}

// get returns a page. It asks again while the response is 503: Temporal or NATS is busy.
func (b *consoleBrowser) get(t *testing.T, path string) (status int, page string) {
	t.Helper()
	require.Eventually(t, func() bool {
		var err error
		status, page, err = b.try(path)
		return err == nil && status != http.StatusServiceUnavailable
	}, patience, 200*time.Millisecond, "%s", path)
	return status, page
}

// try returns a page, for a condition that is polled.
func (b *consoleBrowser) try(path string) (status int, page string, err error) {
	answer, err := b.client.Get(b.at + path)
	if err != nil {
		return 0, "", err
	}
	return readPage(answer)
}

// await returns a page once it contains a text: lists of conversations and of failed steps follow what they list.
func (b *consoleBrowser) await(t *testing.T, path, text string) (page string) {
	t.Helper()
	require.Eventually(t, func() bool {
		var err error
		_, page, err = b.try(path)
		return err == nil && strings.Contains(page, text)
	}, patience, 200*time.Millisecond, "%s does not show %s", path, text)
	return page
}

// send sends the last form of a page with the fields that it hides.
func (b *consoleBrowser) send(path, page string) (status int, text string, err error) {
	fields := url.Values{}
	for _, tag := range inputs.FindAllString(page[strings.LastIndex(page, "<form"):], -1) {
		found := map[string]string{}
		for _, attribute := range attributes.FindAllStringSubmatch(tag, -1) {
			found[attribute[1]] = html.UnescapeString(attribute[2])
		}
		if found["type"] == "hidden" {
			fields.Add(found["name"], found["value"])
		}
	}
	answer, err := b.client.PostForm(b.at+path, fields)
	if err != nil {
		return 0, "", err
	}
	return readPage(answer)
}

var (
	inputs     = regexp.MustCompile(`<input [^>]*>`)
	attributes = regexp.MustCompile(`([a-z]+)="([^"]*)"`)
)

// act confirms an action on its page. A confirmation is valid once, so the page is asked for again after a 503.
func (b *consoleBrowser) act(t *testing.T, path, want string) {
	t.Helper()
	for began := time.Now(); ; {
		status, page := b.get(t, path)
		require.Equal(t, http.StatusOK, status, page)
		action, _, _ := strings.Cut(path, "?")
		status, page, err := b.send(action, page)
		require.NoError(t, err)
		if status == http.StatusServiceUnavailable && time.Since(began) < patience {
			continue
		}
		require.Equal(t, http.StatusOK, status, page)
		require.Contains(t, page, "Done: "+want)
		return
	}
}

func readPage(answer *http.Response) (status int, page string, err error) {
	text, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	return answer.StatusCode, string(text), err
}

// startConsole starts a starter, as the user of starters, whose console has the login of the user operator.
func startConsole(t *testing.T, s *stack.Stack, dir string) *consoleBrowser {
	t.Helper()
	files := t.TempDir()
	tokens, login := filepath.Join(files, "operators"), filepath.Join(files, "operator.json")
	require.NoError(t, os.WriteFile(tokens, []byte("bob operator token-of-the-operator"), 0o600))
	context, err := json.Marshal(map[string]string{
		"url": s.NATS.UserURL(permissions.Tools), "jetstream_domain": permissions.Domain,
		"inbox_prefix": permissions.InboxPrefix(permissions.Tools),
	})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(login, context, 0o600))
	addr := freeAddr()
	run(t, program(t, "starter"), []string{
		"HOOKTURN_NATS_URL=" + s.NATS.URL(), "HOOKTURN_BOTS=" + dir, "HOOKTURN_FREE_SECRETS=true", "HOOKTURN_EGRESS_ALLOW=127.0.0.1", "TEMPORAL_ADDRESS=" + s.Temporal.Addr(),
		"HOOKTURN_OPERATOR_TOKEN_FILE=" + tokens, "HOOKTURN_CONSOLE_ADDR=" + addr, "HOOKTURN_CONSOLE_ACTIONS=true",
		"HOOKTURN_CONSOLE_NATS_CONTEXT=" + login, "HOOKTURN_CONSOLE_UI_URL=http://ui.example",
	})
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	b := &consoleBrowser{client: http.Client{Jar: jar}, at: "http://" + addr}
	require.Eventually(t, func() bool {
		answer, err := b.client.PostForm(b.at+"/login", url.Values{"token": {"token-of-the-operator"}})
		if err != nil {
			return false
		}
		status, _, err := readPage(answer)
		return err == nil && status == http.StatusOK
	}, patience, 50*time.Millisecond)
	require.Eventually(t, func() bool {
		status, _, err := b.try("/bots")
		return err == nil && status == http.StatusOK
	}, patience, 50*time.Millisecond, "the console connects to NATS beside the starter")
	return b
}

// TestConsole_OnTheStack reads a conversation, a failed step and a dead letter in the console, and acts.
func TestConsole_OnTheStack(t *testing.T) {
	t.Parallel()
	samples := endpoint.New(endpoint.Options{})
	samples.Handle("/orders", ok)
	_, err := samples.Start()
	require.NoError(t, err)
	dir := bots(t, samples.URL())
	s, e := startWith(t, stack.Options{Bots: dir, Endpoint: samples})
	e.request(t, "shop", "c-1", "ORDER")
	e.replied(t, "shop", "c-1", 1)
	e.request(t, "shop", "c-1", "HELD")
	broken := e.replied(t, "shop", "c-1", 2)[1]
	require.Equal(t, schemas.OutcomeBotBreak, broken.Outcome)
	e.publish(t, "unknown", "c-2", uuid.NewString(), schemas.TypeStepRequested, `{"step":"X"}`)

	b := startConsole(t, s, dir)
	viewer := newTranscript(t, s.NATS.URL(), s.Temporal.Addr(), permissions.Look)
	const c1 = "/conversation?tenant=default&bot=shop&conversation=c-1"
	b.await(t, "/conversations?bot=shop", html.EscapeString("/conversation?bot=shop&conversation=c-1&tenant=default"))
	var shown inspect.Conversation
	require.Eventually(t, func() bool {
		out, status := viewer.read(t, "conversations", "show", "c-1", "--bot", "shop", "--output", "json")
		return status == 0 && json.Unmarshal([]byte(out), &shown) == nil && len(shown.Events) == 2
	}, patience, 200*time.Millisecond)
	page := b.await(t, c1, broken.EventID)
	for _, event := range shown.Events {
		require.Contains(t, page, event.ID)
		require.NotEmpty(t, event.Replies)
		for _, reply := range event.Replies {
			require.Contains(t, page, string(reply.Outcome))
			for _, attempt := range reply.Attempts {
				require.Contains(t, page, attempt.Started.UTC().Format("15:04:05.000")+": "+attempt.URL)
			}
		}
	}
	require.Contains(t, page, "http://ui.example/namespaces/default/workflows/")

	b.await(t, "/deadletters", "unknown_bot")
	b.await(t, "/deadletters/1", html.EscapeString(`{"step":"X"}`))

	b.act(t, "/do/endpoint_pause?tenant=default&bot=shop&url="+url.QueryEscape(samples.URL()+"/orders"), "pause endpoint")
	viewer.does(t, "held", "endpoints", "list")
	b.act(t, "/do/endpoint_resume?tenant=default&bot=shop&url="+url.QueryEscape(samples.URL()+"/orders"), "resume endpoint")
	page = b.await(t, "/steps", "/do/steps_repeat")
	repeat := regexp.MustCompile(`/do/steps_repeat[^"]*`).FindString(page)
	b.act(t, html.UnescapeString(repeat), "run step HELD of event "+broken.EventID)
	b.act(t, "/do/deadletters_replay?sequence=1", "publish dead letter 1 again")
	b.act(t, "/do/conversations_cancel?tenant=default&bot=shop&conversation=c-1", "cancel conversation c-1")
	viewer.does(t, "console", "audit", "--actor", "bob")
}
