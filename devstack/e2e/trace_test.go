package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/schemas"
)

var update = flag.Bool("update", false, "write what is printed into the documents")

const tracedBot = `bot: shop
base_urls: {test: %q}
bot_break: {default: "Sorry."}
steps:
  ORDER: {webhook: {path: /orders, retry: {initial: 10ms}}}
  VERIFY_OTP: {code: {file: verify_otp.py}}
`

const verifyOTP = `
def main(event, context):
    return {"statusCode": 200, "headers": {}, "body": "{\"response\": [\"Right.\"]}"}
`

// traced is an engine, hookturn's programs and an endpoint, which all export their spans to one collector.
type traced struct {
	*spans

	engine *engine
	tracer trace.Tracer // of the engine
	env    func() []string
	procs  []*proc
}

// startTraced starts everything. The endpoint fails every first request of two.
func startTraced(t *testing.T) *traced {
	t.Helper()
	c := &traced{spans: newSpans(t)}
	samples, tracer := endpoint.New(endpoint.Options{}), c.spans.tracer(t, "endpoint")
	var requests atomic.Int32
	samples.Handle("/orders", func(w http.ResponseWriter, r *http.Request) {
		_, span := tracer.Start(propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header)), "POST /orders",
			trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		if requests.Add(1)%2 == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		ok(w, r)
	})
	_, err := samples.Start()
	require.NoError(t, err)
	t.Cleanup(samples.Stop)
	bots := t.TempDir()
	for name, text := range map[string]string{
		"shop.yaml": fmt.Sprintf(tracedBot, samples.URL()), "verify_otp.py": verifyOTP,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(bots, name), []byte(text), 0o600))
	}
	_, where := runServers(t, append(anyPort(), "--engine=false")...)
	c.engine, c.tracer = newEngine(t, "nats://"+where["nats"]), c.spans.tracer(t, "engine")
	c.env = func() []string { return append(environment(where, bots), "OTEL_EXPORTER_OTLP_ENDPOINT="+c.url) }
	c.start(t)
	return c
}

func (c *traced) start(t *testing.T) {
	t.Helper()
	c.procs = []*proc{
		run(t, program(t, "worker"), append(c.env(), "HOOKTURN_TASK_QUEUES=hookturn-code")),
		run(t, program(t, "worker"), append(c.env(), "HOOKTURN_TASK_QUEUES=hookturn")),
		run(t, program(t, "starter"), c.env()),
	}
}

// stop ends the programs, which export what is left.
func (c *traced) stop(t *testing.T) {
	t.Helper()
	for _, p := range c.procs {
		p.stop(t)
	}
}

// turn is one turn of a chat in the engine: it requests steps one after another and reads their replies, each n-th of the
// conversation. It returns the trace.
func (c *traced) turn(t *testing.T, conversation string, n int, steps ...string) trace.TraceID {
	t.Helper()
	ctx, root := c.tracer.Start(t.Context(), "chat turn")
	defer root.End()
	for i, step := range steps {
		c.publish(ctx, t, conversation, step)
		r := c.engine.replied(t, "shop", conversation, n+i)[n+i-1]
		require.Equal(t, schemas.OutcomeSuccess, r.Outcome, "%+v", r.Error)
		c.read(t, conversation, r.EventID)
	}
	return root.SpanContext().TraceID()
}

func (c *traced) publish(ctx context.Context, t *testing.T, conversation, step string) {
	t.Helper()
	ctx, span := c.tracer.Start(ctx, "publish hookturn.events", trace.WithSpanKind(trace.SpanKindProducer))
	defer span.End()
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	header := nats.Header{"traceparent": []string{carrier.Get("traceparent")}}
	require.NoError(t, c.engine.send("shop", conversation, uuid.NewString(), schemas.TypeStepRequested,
		fmt.Sprintf(`{"step":%q,"user":{"id":"91"}}`, step), header)) // whose details the script gets
}

// read is the engine's span of reading a reply, below the span that the reply carries.
func (c *traced) read(t *testing.T, conversation, event string) {
	t.Helper()
	for _, r := range c.engine.of("shop", conversation) {
		var data schemas.StepReplied
		require.NoError(t, json.Unmarshal(r.Data, &data))
		if data.EventID != event {
			continue
		}
		ctx := propagation.TraceContext{}.Extract(t.Context(), propagation.MapCarrier{"traceparent": r.TraceParent})
		_, span := c.tracer.Start(ctx, "process hookturn.replies", trace.WithSpanKind(trace.SpanKindConsumer))
		span.End()
	}
}

var durations = regexp.MustCompile(`[0-9.]+(µs|ms|s|m)[0-9.ms]*\]|0s\]`)

// shape is a printed tree without its durations.
func shape(tree string) string { return durations.ReplaceAllString(tree, "…]") }

// requireOnce fails when two spans have one id, or when a span ends before it begins.
func requireOnce(t *testing.T, all []span) {
	t.Helper()
	seen := map[string]bool{}
	for _, s := range all {
		require.False(t, seen[s.id()], "%s is there twice", s.GetName())
		seen[s.id()] = true
		require.GreaterOrEqual(t, s.GetEndTimeUnixNano(), s.GetStartTimeUnixNano(), s.GetName())
	}
}

// tracePage is where the tree is printed: the last block of its section.
const tracePage = "../../docs/tracing.md"

var printedTree = regexp.MustCompile("(?s)(## One trace\n.*?```text\n)(.*?)```")

// TestTrace_PrintedAsATree runs a turn of a chat through all programs and compares its trace with docs/tracing.md. Then it
// restarts the programs and runs the same turn in the same conversation, whose history is replayed: the first trace gets no
// further span, and the second has the same shape. With -update it writes the page.
func TestTrace_PrintedAsATree(t *testing.T) {
	t.Parallel()
	c := startTraced(t)
	first := c.turn(t, "c-1", 1, "ORDER", "VERIFY_OTP")
	c.stop(t)
	c.start(t)
	second := c.turn(t, "c-1", 3, "ORDER", "VERIFY_OTP")
	c.stop(t)

	all := c.of(first)
	requireOnce(t, all)
	printed := tree(all)
	page, err := os.ReadFile(tracePage)
	require.NoError(t, err)
	if *update {
		page = printedTree.ReplaceAll(page, []byte("${1}"+printed+"```"))
		require.NoError(t, os.WriteFile(tracePage, page, 0o600))
	}
	block := printedTree.FindStringSubmatch(string(page))
	require.NotNil(t, block, "%s does not have a tree", tracePage)
	require.Equal(t, shape(block[2]), shape(printed),
		"%s is not what is printed; write it with: go test -run TestTrace_PrintedAsATree ./e2e -update", tracePage)
	requireOnce(t, c.of(second))
	require.Equal(t, shape(printed), shape(tree(c.of(second))))
	for _, s := range all { // the page shows it; these hold when the page is written again
		if s.GetName() == "POST /orders" {
			require.Equal(t, "POST", named(t, all, s.parent()).GetName(), "the endpoint's parent is the request")
		}
		require.Less(t, time.Duration(s.GetEndTimeUnixNano()-s.GetStartTimeUnixNano()), patience, s.GetName())
	}
}

// named returns the span of an id.
func named(t *testing.T, all []span, id string) span {
	t.Helper()
	for _, s := range all {
		if s.id() == id {
			return s
		}
	}
	t.Fatalf("no span %s", id)
	return span{}
}
