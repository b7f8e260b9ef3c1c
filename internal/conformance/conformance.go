// Package conformance calls an integrator's endpoint as hookturn does, rightly and wrongly, and reports whether the endpoint
// is a careful receiver: one that serves what is right and rejects what is not.
package conformance

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/secret"
	"github.com/hookturn/hookturn/internal/signature"
	"github.com/hookturn/hookturn/schemas"
)

// Options are what to check.
type Options struct {
	URL     string
	Dialect dialect.Dialect
	Secret  secret.Value // zero: requests are not signed, and the checks of signatures are left out
	// Schemes sign requests; nil: those of the dialect.
	Schemes []signature.Scheme
	Step    string         // the step that requests name; CHECK when ""
	HTTP    *egress.Client // as a worker has one
	Timeout time.Duration  // of one request
}

// Result is the result of one check.
type Result string

// The results of a check.
const (
	Pass Result = "pass"
	Fail Result = "fail"
	Warn Result = "warn" // works, but is worth a change
	Skip Result = "skip"
)

// Check is one check of a report.
type Check struct {
	Name     string     `json:"name"`
	Result   Result     `json:"result"`
	Expected string     `json:"expected"`
	Status   int        `json:"status,omitempty"` // 0: no answer
	Kind     fault.Kind `json:"kind,omitempty"`   // error code of a request without an answer, or of an unreadable answer
	Detail   string     `json:"detail,omitempty"` // never a part of an answer
	Millis   int64      `json:"ms"`
}

// Report is the result of all checks.
type Report struct {
	URL     string  `json:"url"`
	Dialect string  `json:"dialect"`
	Checks  []Check `json:"checks"`
	Failed  int     `json:"failed"`
	// Unreachable reports that no request got an answer.
	Unreachable bool `json:"unreachable"`
}

const (
	largeBody    = 256 << 10 // bytes of the large request
	largeWords   = "a long text "
	slowEnough   = 5 * time.Second
	replayed     = time.Hour // age of the timestamp of a replayed request
	defaultStep  = "CHECK"
	conversation = "hookturn-check"
)

// unusual are texts that a receiver must not change or fail at.
const unusual = "Grüße, שלום, 你好, e\u0301, \U0001F469\u200d\U0001F680, \u2028, \"quoted\", <b>&amp;</b>, \\"

// Run calls the endpoint once or twice for each check, one after another.
func Run(ctx context.Context, o Options) (Report, error) {
	if o.Step == "" {
		o.Step = defaultStep
	}
	if o.Schemes == nil {
		for _, name := range o.Dialect.Spec().Signature {
			o.Schemes = append(o.Schemes, signature.Scheme(name))
		}
	}
	s := suite{Options: o, report: Report{URL: shown(o.URL), Dialect: o.Dialect.Spec().Name}}
	for _, check := range s.checks() {
		began := time.Now()
		c, err := check(ctx)
		if err != nil {
			return s.report, err
		}
		c.Millis = time.Since(began).Milliseconds()
		if c.Result == Fail {
			s.report.Failed++
		}
		s.report.Checks = append(s.report.Checks, c)
	}
	s.report.Unreachable = !slices.ContainsFunc(s.report.Checks, func(c Check) bool { return c.Status != 0 })
	return s.report, nil
}

// shown is a URL without what may be secret.
func shown(url string) string {
	url, _, _ = strings.Cut(url, "?")
	return url
}

type suite struct {
	Options

	report Report
}

// call is one request.
type call struct {
	id       string
	text     string // of the entity or message
	at       time.Time
	secret   secret.Value
	unsigned bool
	extra    bool   // members that the dialect does not have
	media    string // "" = the dialect's
	slowly   bool
}

// got is what came back.
type got struct {
	status int // 0: no answer
	body   []byte
	failed *fault.Fault // what the answer means for a worker; nil: it can be used
}

func (s *suite) newCall() call {
	return call{id: "check-" + uuid.NewString(), text: "speaker", at: time.Now(), secret: s.Secret}
}

// request makes the request of a call, as a worker does.
func (s *suite) request(ctx context.Context, c call) (egress.Request, dialect.Context, error) {
	in := s.context(c)
	encoded, err := s.Dialect.Encode(in)
	if err != nil {
		return egress.Request{}, in, fmt.Errorf("encode a request: %w", err)
	}
	body := encoded.Body
	if c.extra {
		if body, err = withExtra(body); err != nil {
			return egress.Request{}, in, err
		}
	}
	h := encoded.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Set("Webhook-Id", c.id)
	h.Set("Hookturn-Attempt", "1")
	if c.media != "" {
		h.Set("Content-Type", c.media)
	}
	if !c.secret.IsZero() && !c.unsigned {
		if err := signature.Sign(h, s.Schemes, []secret.Value{c.secret}, c.id, c.at, body); err != nil {
			return egress.Request{}, in, fmt.Errorf("sign a request: %w", err)
		}
	}
	r := egress.Request{Method: http.MethodPost, URL: s.URL, Header: h, Body: body, Timeout: s.Timeout}
	if s.ignoresBody() {
		r.Ignores = func(int) bool { return true }
	}
	if c.slowly {
		r.Pace = func(body []byte) io.Reader { return &slowReader{ctx: ctx, rest: body} }
	}
	return r, in, nil
}

// ignoresBody reports whether the status of an answer is the whole answer.
func (s *suite) ignoresBody() bool {
	_, ignores := s.Dialect.(dialect.BodyIgnorer)
	return ignores
}

// context is the step that a call asks for.
func (s *suite) context(c call) dialect.Context {
	entities := map[string][]schemas.Entity{"product_name": {{
		Detection: "message", OriginalText: c.text, EntityValue: json.RawMessage(quoted(c.text)),
	}}}
	event := schemas.Event{
		ID: c.id, Source: "/hookturn/check", Type: schemas.TypeStepRequested, Time: c.at.UTC(), Subject: conversation,
		SpecVersion: "1.0",
	}
	event.Data.Step, event.Data.Entities = s.Step, entities
	plan := bot.Plan{
		BotID: schemas.BotID{Tenant: "default", Bot: "check"}, Step: s.Step, Dialect: s.Dialect.Spec().Name,
		Webhook: &bot.Webhook{URL: s.URL},
	}
	if s.Dialect.Spec().PartOf != "" { // of an adapter
		plan.Adapter = &bot.Adapter{Name: "check", Account: "check", Channel: bot.ChannelDefault, Host: "check"}
		event.Type, event.Data.Step = schemas.TypeMessageReceived, ""
		event.Data.Message = json.RawMessage(`{"type":"text","text":` + quoted(c.text) + `}`)
	}
	user := schemas.User{ID: "hookturn-check", Language: "en"}
	return dialect.Context{Plan: plan, Event: event, User: user, ConversationNo: 1, Entities: entities,
		Variables: map[string]string{"product_name": c.text}}
}

func quoted(text string) string {
	encoded, _ := schemas.Marshal(text) // a string is JSON in every case
	return strings.TrimSpace(string(encoded))
}

// withExtra adds members that no dialect has.
func withExtra(body []byte) ([]byte, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return nil, fmt.Errorf("the request is not an object: %w", err)
	}
	members["hookturn_check"] = json.RawMessage(`{"added":"in a later release","list":[1,null]}`)
	return schemas.Marshal(members)
}

// send sends the request of a call and reads the answer, as a worker does that offers no callback.
func (s *suite) send(ctx context.Context, c call) (got, error) {
	r, in, err := s.request(ctx, c)
	if err != nil {
		return got{}, err
	}
	answer, attempt, err := s.HTTP.Do(ctx, r)
	if err != nil {
		return got{status: attempt.Status, failed: fault.Of(err)}, ctx.Err()
	}
	g := got{status: answer.Status, body: answer.Body}
	if g.failed = dialect.Classify(s.Dialect, g.status, 0); g.failed == nil {
		_, _, g.failed = dialect.Read(s.Dialect, in, g.status, g.body, false)
	}
	return g, nil
}

// large is a call whose request has about largeBody bytes.
func (s *suite) large() (call, error) {
	c := s.newCall()
	var size [2]int // with the words once, and twice
	for i := range size {
		c.text = strings.Repeat(largeWords, i+1)
		encoded, err := s.Dialect.Encode(s.context(c))
		if err != nil {
			return c, fmt.Errorf("encode a request: %w", err)
		}
		size[i] = len(encoded.Body)
	}
	c.text = strings.Repeat(largeWords, (largeBody-size[0])/(size[1]-size[0])+1)
	return c, nil
}

// slowReader sends a body in ten parts, over a second.
type slowReader struct {
	ctx  context.Context
	rest []byte
	part int
}

// Read returns the next part.
func (s *slowReader) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	if s.part == 0 {
		s.part = len(s.rest)/10 + 1
	}
	pause := time.NewTimer(100 * time.Millisecond)
	defer pause.Stop()
	select {
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	case <-pause.C:
	}
	n := copy(p, s.rest[:min(s.part, len(s.rest))])
	s.rest = s.rest[n:]
	return n, nil
}

// otherSecret is a secret that the endpoint does not have.
func otherSecret() secret.Value {
	raw := make([]byte, 24)
	_, _ = rand.Read(raw)
	return secret.New(fmt.Sprintf("%x", raw))
}
