package console

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	updatepb "go.temporal.io/api/update/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/mocks"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hookturn/hookturn/internal/adminapi"
	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/transient"
	"github.com/hookturn/hookturn/schemas"
)

// The tokens of the operators, by their roles.
const (
	viewerToken   = "viewer-token-0123456789"
	operatorToken = "operator-token-0123456789"
	ownerToken    = "owner-token-0123456789"
)

const operatorFile = "ann viewer " + viewerToken + "\nbob operator " + operatorToken + "\ncarla owner " + ownerToken + "\n"

const orders = "https://shop.example/orders"

const botFile = `
bot: shop
base_urls: {test: "https://shop.example"}
steps:
  ORDER: {webhook: {path: "/orders?key=0123456789"}}
  ROOT: {webhook: {path: /}}
`

var shop = schemas.BotID{Tenant: "default", Bot: "shop"}

var discardLogger = slog.New(slog.DiscardHandler)

// botSet is a set of bots that does not change.
type botSet struct{ set *bot.Set }

func (b botSet) Current() *bot.Set  { return b.set }
func (b botSet) Status() bot.Status { return bot.Status{} }

// rig is a console whose Temporal is a mock.
type rig struct {
	*Console

	handler  http.Handler
	temporal *mocks.Client
	tokens   string // path of the operators' file
	bots     string // directory of the bot files
	url      string // of NATS; "" = not connected
	read     func() // called when a history is read
	js       bus.JetStream
	streams  bus.Streams
}

// newRig returns a console that is not connected to NATS.
func newRig(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	r := &rig{temporal: &mocks.Client{}, tokens: filepath.Join(t.TempDir(), "operators"), bots: t.TempDir(), read: func() {}}
	require.NoError(t, os.WriteFile(r.tokens, []byte(operatorFile), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(r.bots, "shop.yaml"), []byte(botFile), 0o600))
	set, err := bot.Load(r.bots, bot.Options{Dialects: dialects.Specs()})
	require.NoError(t, err)
	operators, err := adminapi.ReadOperators(r.tokens, discardLogger)
	require.NoError(t, err)
	o := Options{
		Operators: operators, Bots: botSet{set}, Temporal: r.temporal, Namespace: "default", Converter: step.DataConverter(),
		UI: "https://temporal.example", Actions: true, Log: discardLogger,
		Retry: func(ctx context.Context, request func(context.Context) error) error {
			return transient.Retry(ctx, time.Minute, request) // the server of a busy machine may answer late
		},
	}
	for _, f := range change {
		f(&o)
	}
	r.Console = New(o)
	r.handler = r.Handler()
	return r
}

// newConnectedRig returns a console with a NATS server.
func newConnectedRig(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	r := newRig(t, change...)
	s := natstest.Start(t)
	nc, js, err := bus.Connect(t.Context(), natsclient.Login{URL: s.ClientURL()}, t.Name(), nil)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	streams, err := bus.Setup(t.Context(), js, bus.StreamOptions{Partitions: 1})
	require.NoError(t, err)
	r.url, r.js, r.streams = s.ClientURL(), js, streams
	r.Connect(js, streams)
	return r
}

// browser is a browser of an operator.
type browser struct {
	*rig

	cookie *http.Cookie
}

// login returns a browser in which an operator has logged in.
func (r *rig) login(t *testing.T, token string) *browser {
	t.Helper()
	w := r.send(r.form("/login", url.Values{"token": {token}}))
	require.Equal(t, http.StatusSeeOther, w.Code, w.Body)
	cookies := w.Result().Cookies()
	require.Len(t, cookies, 1)
	return &browser{r, cookies[0]}
}

func (r *rig) send(request *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, request)
	return w
}

func (r *rig) form(path string, form url.Values) *http.Request {
	request := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return request
}

// get returns the answer to a request for a page.
func (b *browser) get(path string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodGet, path, nil)
	request.AddCookie(b.cookie)
	return b.send(request)
}

// page returns the text of a page.
func (b *browser) page(t *testing.T, path string) string {
	t.Helper()
	w := b.get(path)
	require.Equal(t, http.StatusOK, w.Code, "%s: %s", path, w.Body)
	return w.Body.String()
}

// post sends a new form with the token of the session.
func (b *browser) post(path string, form url.Values) *httptest.ResponseRecorder {
	form.Set("csrf", b.csrf())
	if strings.HasPrefix(path, "/do/") {
		form.Set("once", b.sessions.newForm(b.cookie.Value))
	}
	request := b.form(path, form)
	request.AddCookie(b.cookie)
	return b.send(request)
}

func (b *browser) csrf() string {
	request := httptest.NewRequest(http.MethodGet, "/", nil)
	request.AddCookie(b.cookie)
	if v := b.visitor(request); v != nil {
		return v.CSRF
	}
	return ""
}

var tags = regexp.MustCompile(`<[^>]*>`)

// textOf returns the words of a page, with one space between them.
func textOf(page string) string {
	text := tags.ReplaceAllString(page, " ")
	for escaped, plain := range map[string]string{"&#34;": `"`, "&#39;": "'", "&amp;": "&", "&#43;": "+", "&lt;": "<", "&gt;": ">"} {
		text = strings.ReplaceAll(text, escaped, plain)
	}
	return strings.Join(strings.Fields(text), " ")
}

// audited returns the audit events in their order.
func (r *rig) audited(t *testing.T) (list []schemas.AuditEvent) {
	t.Helper()
	require.NoError(t, bus.ReadAudit(t.Context(), r.streams, bus.AuditFilter{}, func(e schemas.AuditEvent) bool {
		list = append(list, e)
		return true
	}))
	return list
}

// replied stores a reply to an event of a conversation.
func (r *rig) replied(t *testing.T, key schemas.ConversationKey, data schemas.StepReplied) {
	t.Helper()
	reply, err := schemas.NewReply(key, data.EventID, schemas.TypeStepReplied, time.Now(), data)
	require.NoError(t, err)
	require.NoError(t, bus.NewPublisher(r.js).PublishReply(t.Context(), key.BotID, reply))
}

// failed stores the reply of a step that failed, in the run of hasRun.
func (r *rig) failed(t *testing.T, key schemas.ConversationKey, id string) {
	t.Helper()
	r.replied(t, key, schemas.StepReplied{
		EventID: id, Step: "ORDER", Outcome: schemas.OutcomeFailure,
		Workflow: schemas.WorkflowRef{ID: step.ConversationID(key), RunID: "run-1"},
	})
}

// stepForm is the form that repeats a step of the conversation c-1.
func stepForm(sequence string) url.Values {
	return url.Values{"tenant": {"default"}, "bot": {"shop"}, "conversation": {"c-1"}, "sequence": {sequence}}
}

// eventOf returns an event of a conversation in which the user wrote a message.
func eventOf(t *testing.T, id, conversation, message string) schemas.Event {
	t.Helper()
	text, err := json.Marshal(message)
	require.NoError(t, err)
	e, err := schemas.DecodeEvent(fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":"/e","type":"hookturn.step.requested",`+
		`"time":"2026-11-20T12:00:00Z","subject":%q,"data":{"step":"ORDER","message":{"text":%s}}}`, id, conversation, text))
	require.NoError(t, err)
	return e
}

// hasRun makes Temporal have one run of a conversation that has accepted events.
func (r *rig) hasRun(t *testing.T, key schemas.ConversationKey, events ...schemas.Event) {
	t.Helper()
	attribute := func(value any) *commonpb.Payload {
		p, err := converter.GetDefaultDataConverter().ToPayload(value)
		require.NoError(t, err)
		return p
	}
	of := &commonpb.WorkflowExecution{WorkflowId: step.ConversationID(key), RunId: "run-1"}
	r.temporal.On("ListWorkflow", mock.Anything, mock.Anything).Return(&workflowservice.ListWorkflowExecutionsResponse{
		Executions: []*workflowpb.WorkflowExecutionInfo{{
			Execution: of, Status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, StartTime: timestamppb.New(time.Now()),
			SearchAttributes: &commonpb.SearchAttributes{IndexedFields: map[string]*commonpb.Payload{
				step.AttributeTenant: attribute(key.Tenant), step.AttributeBot: attribute(key.Bot),
				step.AttributeConversation: attribute(key.Conversation), step.AttributeUser: attribute("user-7"),
				step.AttributeStep: attribute("ORDER"), step.AttributeOutcome: attribute("success"),
			}},
		}},
	}, nil)
	r.temporal.On("GetWorkflowHistory", mock.Anything, of.GetWorkflowId(), "run-1", false, mock.Anything).Return(
		func(context.Context, string, string, bool, enumspb.HistoryEventFilterType) client.HistoryEventIterator {
			r.read()
			h := &history{}
			for _, e := range events {
				payloads, err := r.Converter.ToPayloads(step.Delivery{Event: e})
				require.NoError(t, err)
				h.events = append(h.events, &historypb.HistoryEvent{
					EventTime: timestamppb.New(time.Now()),
					Attributes: &historypb.HistoryEvent_WorkflowExecutionUpdateAcceptedEventAttributes{
						WorkflowExecutionUpdateAcceptedEventAttributes: &historypb.WorkflowExecutionUpdateAcceptedEventAttributes{
							AcceptedRequest: &updatepb.Request{
								Meta: &updatepb.Meta{UpdateId: e.ID}, Input: &updatepb.Input{Name: step.UpdateName(e.Type), Args: payloads},
							},
						},
					},
				})
			}
			return h
		})
}

// history is a history that was read.
type history struct{ events []*historypb.HistoryEvent }

func (h *history) HasNext() bool { return len(h.events) > 0 }

func (h *history) Next() (*historypb.HistoryEvent, error) {
	next := h.events[0]
	h.events = h.events[1:]
	return next, nil
}

// logTo makes a console log to a buffer.
func logTo(to *bytes.Buffer) func(*Options) {
	return func(o *Options) { o.Log = slog.New(slog.NewTextHandler(to, nil)) }
}
