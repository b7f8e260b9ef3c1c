package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/stack"
	"github.com/hookturn/hookturn/internal/permissions"
	"github.com/hookturn/hookturn/schemas"
)

// TestRoles_ToolsWorkInTheirAccounts uses the tools of a viewer and of an operator as the users of NATS that have an account
// of their own each.
func TestRoles_ToolsWorkInTheirAccounts(t *testing.T) {
	t.Parallel()
	samples := endpoint.New(endpoint.Options{})
	samples.Handle("/orders", ok)
	_, err := samples.Start()
	require.NoError(t, err)
	s, e := startWith(t, stack.Options{Bots: bots(t, samples.URL()), Endpoint: samples})
	e.request(t, "shop", "c-1", "ORDER")
	e.replied(t, "shop", "c-1", 1)
	e.request(t, "shop", "c-1", "HELD")
	broken := e.replied(t, "shop", "c-1", 2)[1]
	require.Equal(t, schemas.OutcomeBotBreak, broken.Outcome)
	e.publish(t, "unknown", "c-2", uuid.NewString(), schemas.TypeStepRequested, `{"step":"X"}`)

	viewer := newTranscript(t, s.NATS.URL(), s.Temporal.Addr(), permissions.Look)
	operator := newTranscript(t, s.NATS.URL(), s.Temporal.Addr(), permissions.Tools)
	require.Eventually(t, func() bool {
		out, status := viewer.read(t, "deadletters", "list")
		return status == 0 && strings.Contains(out, "unknown_bot")
	}, patience, 200*time.Millisecond)
	viewer.does(t, "unknown_bot", "deadletters", "show", "1")
	viewer.does(t, "HELD", "steps", "list")
	require.Eventually(t, func() bool { // lists of runs come a moment later
		out, status := viewer.run(t, "conversations", "list", "--bot", "shop")
		return status == 0 && strings.Contains(out, "c-1")
	}, patience, 200*time.Millisecond)
	viewer.does(t, "step.replied: success", "conversations", "show", "c-1", "--bot", "shop")
	viewer.denied(t, "deadletters", "replay", "--bot", "unknown", "--yes")
	viewer.denied(t, "bots", "pause", "shop", "--yes")

	operator.does(t, "", "bots", "pause", "shop", "--yes")
	viewer.does(t, "shop", "bots", "list")
	operator.does(t, "", "bots", "resume", "shop", "--yes")
	operator.does(t, "", "endpoints", "pause", samples.URL()+"/orders", "--bot", "shop", "--yes")
	viewer.does(t, "held", "endpoints", "list")
	operator.does(t, "", "endpoints", "resume", samples.URL()+"/orders", "--bot", "shop", "--yes")
	operator.does(t, "", "steps", "repeat", "--bot", "shop", "--yes")
	operator.does(t, "", "deadletters", "replay", "--bot", "unknown", "--yes")
	operator.does(t, "", "conversations", "cancel", "c-1", "--bot", "shop", "--yes")
	operator.denied(t, "erase", "--user", "91", "--yes")
	viewer.does(t, "steps_repeat", "audit")

	command, printed := viewer.start(t, "tail", "--since", "1h")
	require.Eventually(t, func() bool { return strings.Contains(printed.String(), broken.EventID) }, patience, pollInterval)
	id := e.request(t, "shop", "c-3", "ORDER")
	require.Eventually(t, func() bool { return strings.Contains(printed.String(), id) }, patience, pollInterval)
	require.NoError(t, command.Process.Kill())
	require.Error(t, command.Wait())
	forgeAsViewer(t, e, s.NATS.UserURL(permissions.Look))
}

// does runs a command that succeeds, and requires a text in what it prints.
func (s *transcript) does(t *testing.T, want string, args ...string) {
	t.Helper()
	out, status := s.run(t, args...)
	require.Zero(t, status, "%v: %s", args, out)
	require.Contains(t, out, want)
}

// denied runs a command that NATS does not permit to the user.
func (s *transcript) denied(t *testing.T, args ...string) {
	t.Helper()
	out, status := s.run(t, args...)
	require.Equal(t, 4, status, "%v: %s", args, out)
}

// forgeAsViewer lets a client with the password of a viewer send requests whose answers would be events.
func forgeAsViewer(t *testing.T, e *engine, natsURL string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stream, err := e.operator.Stream(ctx, schemas.StreamEvents)
	require.NoError(t, err)
	before := stream.CachedInfo().State.LastSeq
	nc, err := nats.Connect(natsURL, nats.CustomInboxPrefix(permissions.InboxPrefix(permissions.Look)))
	require.NoError(t, err)
	defer nc.Close()
	for _, api := range []string{"$JS.API.", "$JS." + permissions.Domain + ".API."} {
		require.NoError(t, nc.PublishRequest(api+"STREAM.MSG.GET.HOOKTURN_REPLIES", "hookturn.events.default.shop.forged", []byte(`{"seq":1}`)))
	}
	_, err = nc.RequestWithContext(ctx, "$JS."+permissions.Domain+".API.STREAM.INFO.HOOKTURN_EVENTS", nil)
	require.NoError(t, err, "answered after the requests above")
	info, err := stream.Info(ctx)
	require.NoError(t, err)
	require.Equal(t, before, info.State.LastSeq)
}
