package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// bareWorker stands for the workers that run scripts without a workflow.
type bareWorker struct {
	asked  []step.ScriptRun
	answer string
	err    error
	never  bool
}

func (b *bareWorker) CallScript(ctx context.Context, owner schemas.BotID, request []byte) ([]byte, error) {
	var run step.ScriptRun
	if err := json.Unmarshal(request, &run); err != nil || run.Plan.BotID != owner {
		return nil, fault.New(fault.Internal, "invalid request")
	}
	b.asked = append(b.asked, run)
	if b.never {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return []byte(b.answer), b.err
}

func TestExec_BareChannelStartsNoWorkflow(t *testing.T) {
	t.Parallel()
	d := newTestGateway(t)
	d.bare.answer = `{"value":{"statusCode":201,"body":"done"}}`
	w := d.exec(tokenOfQuick)
	require.Equal(t, http.StatusCreated, w.Code, w.Body)
	require.Equal(t, "done", w.Body.String())
	require.Empty(t, d.runs.started)
	require.Len(t, d.bare.asked, 1)
	run := d.bare.asked[0]
	require.Equal(t, []string{"hook", "<order/>", "quick", "1s"},
		[]string{run.Plan.Step, string(run.Body), run.Channel, run.Timeout.String()})
}

func TestExec_BareChannelFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		worker bareWorker
		status int
		kind   fault.Kind
	}{
		"script raised":    {bareWorker{answer: `{"fault":{"kind":"script_exception","message":"boom"}}`}, 500, fault.ScriptException},
		"no worker":        {bareWorker{err: fault.New(fault.SandboxUnavailable, "none")}, 503, fault.SandboxUnavailable},
		"no free sandbox":  {bareWorker{answer: `{"fault":{"kind":"sandbox_unavailable","message":"busy"}}`}, 503, fault.SandboxUnavailable},
		"too late":         {bareWorker{never: true}, 504, fault.ScriptTimeout},
		"request too long": {bareWorker{err: fault.New(fault.TooLarge, "long")}, 413, fault.TooLarge},
		"NATS away":        {bareWorker{err: nats.ErrConnectionClosed}, 503, ""},
		"NATS lost":        {bareWorker{err: fmt.Errorf("request: %w", nats.ErrDisconnected)}, 504, fault.OutcomeUnknown},
		"not an answer":    {bareWorker{answer: "x"}, 504, fault.OutcomeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newTestGateway(t)
			d.bare = c.worker
			w := d.exec(tokenOfQuick)
			require.Equal(t, c.status, w.Code, w.Body)
			require.NotContains(t, w.Body.String(), "boom")
			if c.kind != "" {
				require.Contains(t, w.Body.String(), string(c.kind))
			}
			require.Empty(t, d.runs.started)
		})
	}
}
