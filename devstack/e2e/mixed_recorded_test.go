package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/devstack/invariants"
	"github.com/hookturn/hookturn/schemas"
)

// recorded is the traffic of both ends, taken when one more event of each tenant is answered: what could have come twice
// is there by then.
func (m *mixed) recorded(t *testing.T) invariants.Traffic {
	t.Helper()
	stop := m.follow(t)
	for _, tenant := range tenants {
		bot := schemas.BotID{Tenant: tenant, Bot: tenant + "-haptik"}
		last := invariants.Event{ConversationKey: bot.WithConversation("last"), ID: uuid.NewString()}
		m.wait(t, "the last event", m.send(t, last, schemas.TypeStepRequested, `{"step":"GOOD"}`))
	}
	stop()
	b := invariants.Traffic{
		Sent: m.sent, Requests: m.samples.Ledger().All(), Hidden: []string{hiddenSecret, hiddenMessage, hiddenAnswer},
		Texts: m.texts(t),
	}
	b.Replies, b.DeadLetters = m.engine.all(), m.engine.deadLetters(t)
	var shown strings.Builder
	for _, r := range b.Replies {
		var data schemas.StepReplied
		require.NoError(t, json.Unmarshal(r.Data, &data))
		if data.Error != nil {
			fmt.Fprintln(&shown, data.Error.Message)
		}
		fmt.Fprintln(&shown, r.ID, r.Source, r.Subject, data.Workflow.ID, data.Attempts)
	}
	b.Texts = append(b.Texts, invariants.Text{Name: "an error or an id in a reply", Content: []byte(shown.String())})
	return b
}

// texts is what people read: logs, metrics, and what the Temporal UI lists.
func (m *mixed) texts(t *testing.T) []invariants.Text {
	t.Helper()
	var all []invariants.Text
	for _, p := range m.procs {
		text, err := os.ReadFile(p.log)
		require.NoError(t, err)
		require.NotEmpty(t, text)
		all = append(all, invariants.Text{Name: "the log of " + filepath.Base(p.cmd.Path), Content: text})
		for _, variable := range p.cmd.Env {
			admin, found := strings.CutPrefix(variable, "HOOKTURN_ADMIN_ADDR=")
			if !found {
				continue
			}
			page, err := http.Get("http://" + admin + "/metrics")
			if err != nil {
				continue // killed
			}
			text, err := io.ReadAll(page.Body)
			require.NoError(t, err)
			require.NoError(t, page.Body.Close())
			all = append(all, invariants.Text{Name: "the metrics of " + filepath.Base(p.cmd.Path), Content: text})
		}
	}
	c, err := client.Dial(client.Options{HostPort: m.where["temporal"]})
	require.NoError(t, err)
	defer c.Close()
	list, err := c.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{PageSize: 1000})
	require.NoError(t, err)
	return append(all, invariants.Text{Name: "the list of workflows", Content: []byte(list.String())})
}
