package cli_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/cli"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// hostile is text of another party: a terminal obeys the first characters, and shows the others in another order or not.
const hostile = "x\u009b31m\u0085\u007f\u202e\u2066\u200b\ufeffy"

// requireVisible requires that a terminal shows what was printed, and does not obey it.
func requireVisible(t *testing.T, printed string, what ...string) {
	t.Helper()
	at := strings.IndexFunc(printed, func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Cf, r)
	})
	require.Negative(t, at, "%v: %q", what, printed)
}

// TestTools_HostileArguments: each tool prints its arguments and flags in errors.
func TestTools_HostileArguments(t *testing.T) {
	t.Chdir(t.TempDir()) // some arguments are files that are written
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	shown := 0
	for name, cmd := range tools() {
		calls := [][]string{{hostile}}
		cmd.Flags().VisitAll(func(f *pflag.Flag) { calls = append(calls, []string{hostile, "--" + f.Name + "=" + hostile}) })
		for _, call := range calls {
			for _, output := range []string{"text", "json"} {
				args := slices.Concat(strings.Fields(name)[1:], call, []string{"--output", output})
				w := &world{in: hostile, env: map[string]string{"HOOKTURN_NATS_URL": "nats://127.0.0.1:1"}}
				if status := w.run(ended, cli.StarterCommand(), args...); status == 0 {
					continue
				}
				requireVisible(t, w.out.String(), args...)
				requireVisible(t, w.err.String(), args...)
				shown += strings.Count(w.out.String()+w.err.String(), `\u202e`)
			}
		}
	}
	require.Greater(t, shown, len(tools()), "the tools print their arguments")
}

// TestTools_HostileText: what engines, users and endpoints have written is in what tools print.
func TestTools_HostileText(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	shop := schemas.BotID{Tenant: "default", Bot: "shop"}
	key := shop.WithConversation("c-1" + hostile)
	require.NoError(t, n.reply(testContext(t), key, "e-1", schemas.TypeStepReplied, schemas.StepReplied{
		EventID: "e-1", Step: "ORDER", Outcome: schemas.OutcomeSuccess, Messages: []schemas.Message{schemas.Text(hostile)},
	}))
	letter := &bus.FailedEvent{
		BotID: shop, Conversation: "c-1", Subject: schemas.Subject(schemas.SubjectEvents, shop.WithConversation("c-1")),
		Data: []byte("{\"a\":\"" + hostile + "\"}\x9b"), Sequence: 7, Deliveries: 1, Received: time.Now(),
	}
	require.NoError(t, bus.NewDeadLetters(n.js, n.streams).Write(testContext(t), letter,
		fault.New(fault.BadEvent, "because of %s", hostile+"\nSEQ  TIME")))
	succeed(t, &world{env: n.at()}, "bots", "pause", "shop", "--reason", hostile, "--actor", "ann", "--yes")
	bots := directory(t, map[string]string{"a" + hostile + "\n.yml": "", "shop.yaml": badBot})
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"`+hostile+`":"`+hostile+`"}`)
	}))
	defer endpoint.Close()
	for name, args := range map[string][]string{
		"letters":    {"deadletters", "list"},
		"letter":     {"deadletters", "show", "1"},
		"replay":     {"deadletters", "replay", "1", "--dry-run"},
		"pauses":     {"bots", "list"},
		"audit":      {"audit"},
		"validation": {"validate", bots},
		"check":      {"check", endpoint.URL, "--secret", checkSecret, "--dialect", "plain"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, output := range []string{"text", "json"} {
				w := &world{env: n.at()}
				w.run(testContext(t), cli.StarterCommand(), append(args, "--output", output)...)
				requireVisible(t, w.out.String(), output)
				requireVisible(t, w.err.String(), output)
				require.NotEmpty(t, w.out.String()+w.err.String())
				if output == "json" {
					require.True(t, json.Valid([]byte(w.out.String())), &w.out)
				}
			}
		})
	}
	t.Run("tail", func(t *testing.T) {
		t.Parallel()
		w := &world{env: n.at()}
		stop := beside(t, w, cli.StarterCommand(), "tail", "--since", "1h")
		require.Eventually(t, func() bool { return strings.HasSuffix(w.out.String(), "\n") }, soon, poll)
		require.Zero(t, stop())
		requireVisible(t, w.out.String())
		require.Contains(t, w.out.String(), `x\u009b31m\u0085\u007f\u202e\u2066\u200b\ufeffy`)
		var reply struct{ Data schemas.StepReplied }
		require.NoError(t, json.Unmarshal([]byte(w.out.String()), &reply))
		require.Equal(t, []schemas.Message{schemas.Text(hostile)}, reply.Data.Messages, "the value is the same")
	})
}
