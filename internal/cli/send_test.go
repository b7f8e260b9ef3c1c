package cli_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/cli"
	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// stored reads an event as it lies in the stream.
func (n nats) stored(t *testing.T, seq uint64) *jetstream.RawStreamMsg {
	t.Helper()
	stream, err := n.js.Stream(testContext(t), schemas.StreamEvents)
	require.NoError(t, err)
	m, err := stream.GetMsg(testContext(t), seq)
	require.NoError(t, err)
	return m
}

func TestSend_MakesAnEventOfItsFlags(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	out := succeed(t, &world{env: n.at()}, "send", "--tenant", "acme", "--bot", "shop", "--conversation", "c/42",
		"--data", `{"reason":"<done>"}`, "--type", schemas.TypeConversationEnded, "--id", "e-1", "--ttl", "1h")
	require.Equal(t, "event e-1 stored as 1 (duplicate: false)\n", out)

	m := n.stored(t, 1)
	require.True(t, strings.HasSuffix(m.Subject, ".acme.shop."+schemas.ConversationToken("c/42")), m.Subject)
	require.Equal(t, schemas.EventMsgID(schemas.BotID{Tenant: "acme", Bot: "shop"}.WithConversation("c/42"), "e-1"),
		m.Header.Get(jetstream.MsgIDHeader))
	until, err := time.Parse(time.RFC3339Nano, m.Header.Get("Hookturn-Expires"))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(time.Hour), until, 10*time.Minute)
	e, err := schemas.DecodeEvent(m.Data)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), e.Time, 10*time.Minute)
	require.Equal(t, "e-1", e.ID)
	require.Equal(t, "c/42", e.Subject)
	require.Equal(t, schemas.TypeConversationEnded, e.Type)
	require.Equal(t, "<done>", e.Data.Reason)

	out = succeed(t, &world{env: n.at()}, "send", "--tenant", "acme", "--bot", "shop", "--conversation", "c/42",
		"--data", `{"reason":"again"}`, "--type", schemas.TypeConversationEnded, "--id", "e-1")
	require.Equal(t, "event e-1 stored as 1 (duplicate: true)\n", out)

	out = succeed(t, &world{env: n.at()}, "send", "--bot", "shop", "--conversation", "c-42", "--data", `{"step":"ORDER"}`)
	require.Regexp(t, `^event [0-9a-f-]{36} stored as [23] \(duplicate: false\)\n$`, out, "an id is made")
}

func TestSend_PassesAWholeEventOnAsItIs(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	file := filepath.Join(directory(t, map[string]string{"event.json": event("e-1")}), "event.json")
	require.Equal(t, "event e-1 stored as 1 (duplicate: false)\n", succeed(t, &world{env: n.at()}, "send", "--bot", "shop", file))
	w := &world{env: n.at(), in: event("e-2")}
	require.Equal(t, "event e-2 stored as 2 (duplicate: false)\n", succeed(t, w, "send", "--bot", "shop", "-"))
	for seq, id := range map[uint64]string{1: "e-1", 2: "e-2"} {
		m := n.stored(t, seq)
		require.Equal(t, event(id), string(m.Data))
		require.True(t, strings.HasSuffix(m.Subject, ".default.shop.c-42"), m.Subject)
	}
}

// TestSend_DryRun needs no server, and checks the settings of the connection too.
func TestSend_DryRun(t *testing.T) {
	t.Parallel()
	nowhere := map[string]string{"HOOKTURN_NATS_URL": "nats://" + unreachableAddr(t)}
	w := &world{env: nowhere, in: event("e-1"), terminal: true}
	require.Equal(t, "would publish on hookturn.events.default.shop.c-42:\n"+event("e-1")+"\n",
		succeed(t, w, "send", "--bot", "shop", "-", "--dry-run"))
	require.Empty(t, w.err.String(), "it does not ask")
	require.JSONEq(t, event("e-1"),
		succeed(t, &world{env: nowhere, in: event("e-1")}, "send", "--bot", "shop", "-", "--dry-run", "--output", "json"))
	for name, value := range map[string]string{
		"HOOKTURN_LOG_LEVEL": "loud", "HOOKTURN_NATS_URL": "nats://%zz", "HOOKTURN_NATS_CREDS": "missing", "NATS_CONTEXT": "missing",
	} {
		w := &world{env: map[string]string{name: value}, in: event("e-1")}
		require.Equal(t, 2, w.run(testContext(t), cli.StarterCommand(), "send", "--bot", "shop", "-", "--dry-run"), name)
		require.Contains(t, w.err.String(), name)
		require.Empty(t, w.out.String())
	}
}

// TestSend_EventComesFromFlagsAlone: a variable that happens to be called like a flag of send changes no event.
func TestSend_EventComesFromFlagsAlone(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	env := n.at()
	for _, name := range []string{"ID", "CONVERSATION", "TENANT", "TTL", "WAIT", "VERSION", "HELP"} {
		env["HOOKTURN_"+name] = "other"
	}
	out := succeed(t, &world{env: env, in: event("e-1")}, "send", "--bot", "shop", "-")
	require.Equal(t, "event e-1 stored as 1 (duplicate: false)\n", out)
	require.True(t, strings.HasSuffix(n.stored(t, 1).Subject, ".default.shop.c-42"))
}

// TestSend_MistakeIsRefusedAtOnce needs no server: what is wrong with an event is said before anything is connected.
func TestSend_MistakeIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	flags := []string{"--bot", "shop", "--conversation", "c-42"}
	for name, c := range map[string]struct {
		in   string
		args []string
		want string
	}{
		"no bot":           {"", []string{"-"}, `required flag(s) "bot" not set`},
		"nothing":          {"", []string{"--bot", "shop"}, "missing event: expected FILE, or --conversation and --data"},
		"no data":          {"", flags, "missing event: expected FILE, or --conversation and --data"},
		"data is not JSON": {"", append(flags, "--data", "{step:ORDER}"), "invalid --data: expected JSON, quoted for the shell"},
		"data is a list":   {"", append(flags, "--data", "[]"), "invalid event: /data must be an object"},
		"no step":          {"", append(flags, "--data", "{}"), "invalid event: /data/step is required"},
		"unknown type":     {"", append(flags, "--data", "{}", "--type", "x"), "invalid event: /type must be one of"},
		"no such file":     {"", []string{"--bot", "shop", "missing.json"}, "open missing.json: no such file"},
		"two files":        {"", []string{"--bot", "shop", "-", "-"}, "accepts at most 1 arg(s), received 2"},
		"a file and flags": {event("e-1"), append(flags, "-"), "FILE contains the whole event: remove --conversation"},
		"empty":            {"", []string{"--bot", "shop", "-"}, "invalid event: event is empty"},
		"not JSON":         {"hello", []string{"--bot", "shop", "-"}, "invalid event: event"},
		"pointer": {
			strings.Replace(event("e-1"), `"ORDER"`, "7", 1), []string{"--bot", "shop", "-"}, "invalid event: /data/step must be",
		},
		"too large": {
			event("e-1") + strings.Repeat(" ", schemas.MessageMax), []string{"--bot", "shop", "-"}, "at most 1048576 are allowed",
		},
		"bot is not a token": {event("e-1"), []string{"--bot", "my shop", "-", "--wait", "1h"}, "invalid --tenant or --bot: expected [A-Za-z0-9_-]{1,64}"},
		"tenant not a token": {event("e-1"), []string{"--bot", "shop", "--tenant", "*", "-"}, "invalid --tenant or --bot: expected [A-Za-z0-9_-]{1,64}"},
		"ttl is not a time":  {event("e-1"), []string{"--bot", "shop", "-", "--ttl", "soon"}, `invalid argument "soon" for "--ttl"`},
		"ttl is past":        {event("e-1"), []string{"--bot", "shop", "-", "--ttl", "-1s"}, "invalid --ttl or --wait: must not be negative"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &world{in: c.in}
			said := fail(t, w, append([]string{"send"}, c.args...)...)
			require.True(t, strings.HasPrefix(said, "starter: "), said)
			require.Contains(t, said, c.want)
			require.Empty(t, w.out.String())
		})
	}
}

// answerEvent answers an event: first another event whose id begins alike; then by its step, "ORDER" is replied to, "WAIT" waits for
// an entity, "REFUSE" is rejected, "LETTER" becomes a dead letter.
func (n nats) answerEvent(ctx context.Context, m *eventreader.Message) error {
	e, err := schemas.DecodeEvent(m.Data)
	if err != nil {
		return err
	}
	key := m.WithConversation(e.Subject)
	if err := n.replied(ctx, key, e.ID+"0"); err != nil {
		return err
	}
	switch e.Data.Step {
	case "WAIT":
		return n.reply(ctx, key, e.ID, schemas.TypeStepWaiting,
			schemas.StepWaiting{EventID: e.ID, Step: "WAIT", Missing: []string{"size", "colour"}})
	case "REFUSE":
		return n.reply(ctx, key, e.ID, schemas.TypeStepReplied, schemas.StepReplied{
			EventID: e.ID, Outcome: schemas.OutcomeRejected, Error: &schemas.Error{Kind: "unknown_step", Message: "no step REFUSE"},
		})
	case "LETTER":
		return nil
	}
	if err := n.reply(ctx, key, e.ID, schemas.TypeStepProgress, schemas.StepProgress{EventID: e.ID}); err != nil {
		return err
	}
	return n.replied(ctx, key, e.ID)
}

// answer runs a reader that answers every event.
func (n nats) answer(t *testing.T) {
	t.Helper()
	n.reading(t, n.answerEvent)
}

// reading runs a reader with a handler; what asks for the step "LETTER" becomes a dead letter.
func (n nats) reading(t *testing.T, handle func(context.Context, *eventreader.Message) error) {
	t.Helper()
	handler := func(ctx context.Context, m *eventreader.Message) eventreader.Outcome {
		if err := handle(ctx, m); err != nil {
			return eventreader.Retry("test", err)
		}
		if strings.Contains(string(m.Data), `"LETTER"`) {
			return eventreader.DeadLetter(fault.BadEvent, "not of this test")
		}
		return eventreader.Ack()
	}
	c := eventreader.NewReader(n.js, n.streams, eventreader.Options{Handler: handler})
	require.NoError(t, c.Start(testContext(t)))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), soon)
		defer cancel()
		require.NoError(t, c.Stop(ctx))
	})
}

func TestSend_WaitsForTheReplyOfItsEvent(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	n.answer(t)
	out := lines(succeed(t, &world{env: n.at(), in: event("e-1")}, "send", "--bot", "shop", "-", "--wait", "1h"))
	require.Len(t, out, 3)
	require.Equal(t, "event e-1 stored as 1 (duplicate: false)", out[0])
	for i, want := range []string{schemas.TypeStepProgress, schemas.TypeStepReplied} {
		var r schemas.Reply
		require.NoError(t, json.Unmarshal([]byte(out[i+1]), &r))
		require.Equal(t, want, r.Type)
		require.Equal(t, schemas.ReplyID(schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c-42"), "e-1", want), r.ID)
	}
}

func TestSend_WaitEnds(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	n.answer(t)
	for step, c := range map[string]struct {
		status          int
		result, message string
	}{
		"ORDER":  {0, "replied", ""},
		"WAIT":   {6, "waiting", "the step WAIT waits for entities: size, colour: send them with --type hookturn.entities.collected"},
		"REFUSE": {4, "rejected", "the event was rejected: unknown_step: no step REFUSE"},
		"LETTER": {4, "dead_letter", "the event became the dead letter of the reason bad_event: not of this test"},
	} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			args := []string{
				"send", "--bot", "shop", "--conversation", "c-" + step, "--id", "e-" + step, "--data", `{"step":"` + step + `"}`,
				"--wait", "1h",
			}
			w := &world{env: n.at()}
			require.Equal(t, c.status, w.run(testContext(t), cli.StarterCommand(), args...), &w.err)
			require.Contains(t, w.err.String(), c.message)
			if step == "LETTER" || step == "WAIT" {
				return // a duplicate of theirs has nothing to wait for
			}
			w = &world{env: n.at()} // a duplicate gets what is stored
			require.Equal(t, c.status, w.run(testContext(t), cli.StarterCommand(), append(args, "--output", "json")...), &w.err)
			var document map[string]any
			require.NoError(t, json.Unmarshal([]byte(w.out.String()), &document), "one document: %s", &w.out)
			require.Equal(t, []any{c.result, true}, []any{document["result"], document["duplicate"]})
			require.NotEmpty(t, document["replies"])
		})
	}
}

func TestSend_WaitEndsAsJSON(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	n.answer(t)
	for step, want := range map[string]string{"WAIT": `"result":"waiting"`, "LETTER": `"dead_letter":{"reason":"bad_event"`} {
		w := &world{env: n.at()}
		require.NotZero(t, w.run(testContext(t), cli.StarterCommand(), "send", "--bot", "shop", "--conversation", "c-1",
			"--data", `{"step":"`+step+`"}`, "--wait", "1h", "--output", "json"))
		require.Contains(t, w.out.String(), want)
		require.Len(t, lines(w.out.String()), 1)
	}
}

func TestSend_WaitTimeout(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	w := &world{env: n.at(), in: event("e-1")}
	said := fail(t, w, "send", "--bot", "shop", "-", "--wait", "2s")
	require.Equal(t, "event e-1 stored as 1 (duplicate: false)\n", w.out.String())
	require.Equal(t, "starter: no reply within 2s: check that a starter and a worker run; \"starter tail --bot shop\" prints replies as they come\n", said)
}

func TestSend_InterruptEndsTheWait(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	w := &world{env: n.at(), in: event("e-1")}
	stop := beside(t, w, cli.StarterCommand(), "send", "--bot", "shop", "-", "--wait", "1h")
	require.Eventually(t, func() bool { return strings.Contains(w.out.String(), "stored as 1") }, soon, poll)
	require.Equal(t, 1, stop())
	require.Equal(t, "starter: waiting for the reply was interrupted: context canceled\n", w.err.String())
}
