package cli_test

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/cli"
	"github.com/hookturn/hookturn/internal/eventreader"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// letter writes a dead letter of an event.
func (n nats) letter(t *testing.T, seq uint64, owner schemas.BotID, payload string, kind fault.Kind) {
	t.Helper()
	m := &bus.FailedEvent{
		BotID: owner, Conversation: "c-42", Subject: schemas.Subject(schemas.SubjectEvents, owner.WithConversation("c-42")),
		Data: []byte(payload), Header: natsgo.Header{"X-Engine": {"e"}}, Sequence: seq, Deliveries: 1, Received: time.Now(),
	}
	require.NoError(t, bus.NewDeadLetters(n.js, n.streams).Write(testContext(t), m, fault.New(kind, "because of %s", owner.Bot)))
}

func TestDeadLetters_Listed(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	require.Equal(t, "starter: no dead letters match\n", fail(t, &world{env: n.at()}, "deadletters", "list"))

	n.letter(t, 7, schemas.BotID{Tenant: "default", Bot: "shop"}, "{", fault.BadEvent)
	n.letter(t, 8, schemas.BotID{Tenant: "default", Bot: "none"}, event("e-2"), fault.UnknownBot)
	n.letter(t, 9, schemas.BotID{Tenant: "acme", Bot: "shop"}, "not\njson", fault.BadEvent)
	for name, c := range map[string]struct {
		flags []string
		want  []string // the first and the last columns
	}{
		"all":    {nil, []string{"1 because of shop", "2 because of none", "3 because of shop"}},
		"tenant": {[]string{"--tenant", "acme"}, []string{"3 because of shop"}},
		"bot":    {[]string{"--bot", "shop"}, []string{"1 because of shop", "3 because of shop"}},
		"reason": {[]string{"--reason", "unknown_bot"}, []string{"2 because of none"}},
		"after":  {[]string{"--after", "1", "--limit", "1"}, []string{"2 because of none"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows := lines(succeed(t, &world{env: n.at()}, append([]string{"deadletters", "list"}, c.flags...)...))
			var got []string
			for _, row := range rows[1:] {
				cells := regexp.MustCompile(" {2,}").Split(row, -1)
				require.Len(t, cells, 8, row)
				got = append(got, cells[0]+" "+cells[7])
			}
			require.Equal(t, c.want, got)
		})
	}
	row := lines(succeed(t, &world{env: n.at()}, "deadletters", "list", "--after", "2"))[1]
	require.Regexp(t, `^3 +20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ +acme +shop +c-42 +bad_event +8 +because of shop$`, row)
}

// TestDeadLetters_Shown: as text with escapes for what a terminal would obey, as JSON byte for byte.
func TestDeadLetters_Shown(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	const payload = "{\x00\xff not\r\njson"
	n.letter(t, 7, schemas.BotID{Tenant: "default", Bot: "shop"}, payload, fault.BadEvent)
	out := succeed(t, &world{env: n.at()}, "deadletters", "show", "1")
	header, found := strings.CutSuffix(out, "\n{"+`\u0000\ufffd not\u000d`+"\njson\n")
	require.True(t, found, "%q", out)
	values := map[string][]string{}
	require.NoError(t, json.Unmarshal([]byte(header), &values))
	require.Equal(t, []string{"bad_event"}, values[bus.HeaderReason])
	require.Equal(t, []string{"7"}, values[bus.HeaderSequence])
	require.Equal(t, []string{"e"}, values["X-Engine"])
	var document struct {
		Data []byte `json:"data"`
	}
	out = succeed(t, &world{env: n.at()}, "deadletters", "show", "1", "--output", "json")
	require.NoError(t, json.Unmarshal([]byte(out), &document))
	require.Equal(t, payload, string(document.Data))
}

func TestDeadLetters_ReplayedOnce(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	n.letter(t, 7, schemas.BotID{Tenant: "default", Bot: "shop"}, event("e-1"), fault.UnknownBot)
	require.Equal(t, "dead letter 1 published again as event 1\n", succeed(t, &world{env: n.at()}, "deadletters", "replay", "1", "--yes"))
	m := n.stored(t, 1)
	require.Equal(t, event("e-1"), string(m.Data))
	require.True(t, strings.HasSuffix(m.Subject, ".default.shop.c-42"), m.Subject)
	require.Equal(t, "e", m.Header.Get("X-Engine"))

	require.Contains(t, fail(t, &world{env: n.at()}, "deadletters", "list"), "no dead letters match", "the dead letter is gone")
	require.Contains(t, fail(t, &world{env: n.at()}, "deadletters", "replay", "1"), "dead letter 1: no such dead letter")
	require.Contains(t, fail(t, &world{env: n.at()}, "deadletters", "show", "1"), "dead letter 1: no such dead letter")
}

// TestDeadLetters_RejectedEventReplayed does what an operator does: the handler rejects an event, the operator fixes the
// bot file and replays the event.
func TestDeadLetters_RejectedEventReplayed(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	handled := make(chan string, 1)
	first := true
	c := eventreader.NewReader(n.js, n.streams, eventreader.Options{Handler: func(_ context.Context, m *eventreader.Message) eventreader.Outcome {
		if first {
			first = false
			return eventreader.DeadLetter(fault.UnknownBot, "no bot file for bot "+m.Bot)
		}
		handled <- string(m.Data)
		return eventreader.Ack()
	}})
	require.NoError(t, c.Start(testContext(t)))
	defer func() { require.NoError(t, c.Stop(testContext(t))) }()

	succeed(t, &world{env: n.at(), in: event("e-1")}, "send", "--bot", "shop", "-")
	require.Eventually(t, func() bool {
		w := &world{env: n.at()}
		return w.run(t.Context(), cli.StarterCommand(), "deadletters", "list") == 0 && strings.Contains(w.out.String(), "unknown_bot")
	}, soon, 10*poll)
	require.Contains(t, succeed(t, &world{env: n.at()}, "deadletters", "show", "1"), "no bot file for bot shop")
	succeed(t, &world{env: n.at()}, "deadletters", "replay", "1", "--yes")
	select {
	case data := <-handled:
		require.Equal(t, event("e-1"), data)
	case <-time.After(soon):
		t.Fatal("the event was not handled again")
	}
}

func TestDeadLetters_InvalidSequence(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"show", "replay"} {
		for _, number := range []string{"first", "1.5", ""} {
			require.Contains(t, fail(t, &world{}, "deadletters", command, number), `expected a number from the first column`)
		}
	}
	require.Contains(t, succeed(t, &world{}, "deadletters"), "Available Commands:")
	require.Contains(t, fail(t, &world{}, "deadletters", "forget"), `unknown command "forget" for "starter deadletters"`)
}
