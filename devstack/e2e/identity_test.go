package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/stack"
	"github.com/hookturn/hookturn/internal/app"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

// TestIdentity_EqualEventIDs sends events with one id to two tenants, two bots and two conversations, over HTTP and over
// NATS, for a step that is answered and for one in the background: each is called and answered on its own.
func TestIdentity_EqualEventIDs(t *testing.T) {
	t.Parallel()
	samples := endpoint.New(endpoint.Options{})
	samples.Handle("/orders", ok)
	samples.Handle("/notify", ok)
	_, err := samples.Start()
	require.NoError(t, err)
	dir := t.TempDir()
	var tokens strings.Builder
	var keys []schemas.ConversationKey
	for tenant, name := range map[string]string{"acme": "shop", "bcme": "mall"} {
		content := fmt.Sprintf("bot: %s\ntenant: %s\nbase_urls: {test: %q}\nsteps:\n  ORDER: {webhook: {path: /orders}}\n"+
			"  NOTIFY: {webhook: {dialect: loyjoy, path: /notify, mode: background}}\n", name, tenant, samples.URL())
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(content), 0o600))
		tokens.WriteString(tenant + " token-of-the-tenant-" + tenant + "\n")
		for _, conversation := range []string{"c-1", "c-2"} {
			keys = append(keys, schemas.BotID{Tenant: tenant, Bot: name}.WithConversation(conversation))
		}
	}
	file := filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, os.WriteFile(file, []byte(tokens.String()), 0o600))
	s, e := startWith(t, stack.Options{
		Bots: dir, Endpoint: samples, Gateway: app.Gateway{Addr: "127.0.0.1:0", EventTokens: file},
	})

	event := func(key schemas.ConversationKey, id, step string) []byte {
		return fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":"/x","type":"hookturn.step.requested","time":%q,"subject":%q,`+
			`"bot":%q,"data":{"step":%q}}`, id, time.Unix(0, 0).UTC().Format(time.RFC3339), key.Conversation, key.Bot, step)
	}
	post := func(key schemas.ConversationKey, body []byte) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.Starter.GatewayAddr()+"/events", strings.NewReader(string(body)))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/cloudevents+json")
		r.Header.Set("Authorization", "Bearer token-of-the-tenant-"+key.Tenant)
		status, _, text, err := send(r)
		require.NoError(t, err)
		return status, text
	}
	for _, key := range keys {
		for _, step := range []string{"ORDER", "NOTIFY"} {
			status, answer := post(key, event(key, "http-"+step, step))
			require.Equal(t, http.StatusAccepted, status, answer)
			require.Contains(t, answer, `"duplicate":false`, "%v", key)
			_, _, err := bus.NewPublisher(e.operator).PublishEvent(t.Context(), key, event(key, "nats-"+step, step), "nats-"+step, nil)
			require.NoError(t, err)
		}
	}
	status, answer := post(keys[0], event(keys[0], "http-ORDER", "ORDER"))
	require.Equal(t, http.StatusAccepted, status, answer)
	require.Contains(t, answer, `"duplicate":true`)
	status, answer = post(keys[0], event(keys[0], "http-ORDER", "NOTIFY"))
	require.Equal(t, http.StatusConflict, status, answer)

	// For each conversation: two replies of ORDER, two acceptances and two ends of NOTIFY.
	err = e.await(func() bool { return len(e.all()) >= 6*len(keys) })
	require.NoError(t, err, "%d replies", len(e.all()))
	seen := map[string]int{}
	for _, r := range e.all() {
		var data struct {
			EventID string          `json:"event_id"`
			Outcome schemas.Outcome `json:"outcome"`
		}
		require.NoError(t, json.Unmarshal(r.Data, &data))
		seen[r.Source+" "+r.Subject+" "+data.EventID+" "+string(data.Outcome)]++
	}
	for _, key := range keys {
		for _, by := range []string{"http-", "nats-"} {
			for _, end := range []string{"ORDER success", "NOTIFY accepted", "NOTIFY success"} {
				require.Equal(t, 1, seen[key.Source()+" "+key.Conversation+" "+by+end], "%v: %s%s in %v", key, by, end, seen)
			}
		}
	}
}
