package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/stack"
	"github.com/hookturn/hookturn/internal/permissions"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// erased is the report of "starter erase".
type erased struct {
	Conversations, Runs, Events, Replies, Chats, Files int
	DeadLetters                                        int `json:"dead_letters"`
	UserDetails                                        int `json:"user_details"`
	Kept                                               []struct{ What, Why string }
}

// TestErase_PersonWhileTrafficRuns erases a user with a closed conversation and one whose step is in hand, beside the
// conversation of another.
func TestErase_PersonWhileTrafficRuns(t *testing.T) {
	t.Parallel()
	program(t, "starter") // building it takes time that a step must not wait for
	samples, g := endpoint.New(endpoint.Options{}), newGate()
	samples.Handle("/orders", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var asked struct {
			User struct {
				ID string `json:"user_id"`
			}
		}
		_ = json.Unmarshal(body, &asked)
		fmt.Fprintf(w, `{"status":true,"response":["%s-%s"],"user_details":{"seen":true}}`, marker, asked.User.ID)
	})
	samples.Handle("/held", g.ServeHTTP)
	_, err := samples.Start()
	require.NoError(t, err)
	bots, data := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(bots, "shop.yaml"), []byte("bot: shop\nbase_urls: {test: "+samples.URL()+"}\n"+
		"steps:\n  ORDER: {webhook: {path: /orders}}\n  LAST: {end_step: true, webhook: {path: /orders}}\n  HELD: {webhook: {path: /held, "+unhurried+"}}\n"), 0o600))
	s, e := startWith(t, stack.Options{
		Bots: bots, DataDir: data, Endpoint: samples,
		DynamicConfig: map[string]any{ // Temporal deletes a run once the tasks of its end are acknowledged
			"history.transferProcessorUpdateAckInterval": time.Second, "history.visibilityProcessorUpdateAckInterval": time.Second,
		},
	})
	ask := func(conversation, user, name string) {
		e.publish(t, "shop", conversation, uuid.NewString(), schemas.TypeStepRequested, fmt.Sprintf(
			`{"step":%q,"user":{"id":%q},"entities":{"a":[{"detection":"message","original_text":"%s-%s","entity_value":1}]}}`,
			name, user, marker, user))
	}
	ask("closed", "91", "LAST")
	ask("open", "91", "ORDER")
	ask("others", "92", "ORDER")
	e.replied(t, "shop", "closed", 1)
	e.replied(t, "shop", "open", 1)
	e.replied(t, "shop", "others", 1)
	ask("open", "91", "HELD")
	g.await(t, 1)

	try := func(args ...string) (report erased, err error) {
		command := exec.CommandContext(t.Context(), program(t, "starter"), append([]string{"erase", "--output", "json", "--wait", "2m", waitLong}, args...)...)
		command.Env = append(toolEnvironment(s.NATS.URL(), permissions.Operator), "TEMPORAL_ADDRESS="+s.Temporal.Addr())
		var said strings.Builder
		command.Stderr = &said
		out, err := command.Output()
		if err == nil {
			err = json.Unmarshal(out, &report)
		}
		if err != nil {
			return report, fmt.Errorf("%w: %s%s", err, said.String(), out)
		}
		return report, nil
	}
	erase := func(args ...string) erased {
		report, err := try(args...)
		require.NoError(t, err)
		require.NotEmpty(t, report.Kept)
		return report
	}
	var dry erased
	require.Eventually(t, func() bool { // visibility comes a moment later
		var err error
		dry, err = try("--user", "91", "--dry-run")
		return err == nil && dry.Conversations == 2
	}, patience, 200*time.Millisecond)
	require.NotEmpty(t, dry.Kept)
	require.Equal(t, []int{2, 1}, []int{dry.Runs, dry.UserDetails}, "%+v", dry)
	require.GreaterOrEqual(t, dry.Replies, 2)
	require.NotEmpty(t, filesWith(t, filepath.Join(data, "nats"), []byte(marker+"-91")), "the search reads what the server has written")

	denied := exec.CommandContext(t.Context(), program(t, "starter"), "erase", "--user", "91", "--yes", waitLong)
	denied.Env = append(toolEnvironment(s.NATS.URL(), permissions.Tools), "TEMPORAL_ADDRESS="+s.Temporal.Addr())
	out, err := denied.CombinedOutput()
	require.Error(t, err)
	require.Equal(t, 4, denied.ProcessState.ExitCode(), "%s", out)
	require.Contains(t, string(out), "needs the role owner")

	report := erase("--user", "91", "--yes")
	require.Equal(t, 2, report.Conversations)
	require.GreaterOrEqual(t, report.Runs, 2)
	require.Greater(t, report.Replies, dry.Replies, "that of the cancelled step included: %+v", report)
	require.Equal(t, 1, report.UserDetails)
	again := erase("--user", "91", "--yes")
	require.Zero(t, again.Runs+again.Events+again.Replies+again.DeadLetters+again.UserDetails+again.Chats+again.Files, "%+v", again)

	recorded := auditOf(t, s.NATS.URL(), schemas.AuditErase)
	require.Len(t, recorded, 4, "two for each erase that was not a dry run and was permitted")
	require.Equal(t, schemas.AuditDone, recorded[1].Data.Result)
	require.Equal(t, report.Replies, recorded[1].Data.Counts["replies"])
	require.Empty(t, recorded[1].Subject)
	require.Empty(t, recorded[1].Data.Filter)
	require.Empty(t, recorded[1].Data.Objects)

	c, err := client.Dial(client.Options{HostPort: s.Temporal.Addr()})
	require.NoError(t, err)
	defer c.Close()
	owner := schemas.BotID{Tenant: "default", Bot: "shop"}
	for conversation, there := range map[string]bool{"closed": false, "open": false, "others": true} {
		_, err := c.DescribeWorkflowExecution(t.Context(), step.ConversationID(owner.WithConversation(conversation)), "")
		if there {
			require.NoError(t, err, conversation)
			continue
		}
		var gone *serviceerror.NotFound
		require.ErrorAs(t, err, &gone, conversation)
	}
	require.Eventually(t, func() bool {
		found, err := searchFiles(filepath.Join(data, "nats"), []byte(marker+"-91"))
		return err == nil && len(found) == 0
	}, patience, 200*time.Millisecond)
	ask("others", "92", "ORDER")
	require.Len(t, e.replied(t, "shop", "others", 2), 2, "others are served")
	close(g.open)
}
