package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestAdmin_ChannelsAreManaged creates a channel on one starter and uses it on the other, through a restart.
func TestAdmin_ChannelsAreManaged(t *testing.T) {
	t.Parallel()
	dir, operator := t.TempDir(), filepath.Join(t.TempDir(), "operator")
	for path, text := range map[string]string{
		filepath.Join(dir, "shop.yaml"): "bot: shop\nscripts: {hook: {file: hook.py}}\nchannels: [{code: own, type: public}]\n",
		filepath.Join(dir, "hook.py"):   "def main(event, context):\n    return {'statusCode': 200, 'body': 'hello ' + startparam(1)['code']}\n",
		operator:                        "token-of-the-operator\n",
	} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	_, where := runServers(t, append(anyPort(), "--engine=false")...)
	run(t, program(t, "worker"), append(environment(where, dir), "HOOKTURN_TASK_QUEUES=hookturn,hookturn-code"))
	start := func() (p *proc, gateway, admin string) {
		gateway, admin = freeAddr(), freeAddr()
		p = run(t, program(t, "starter"), append(environment(where, dir), "HOOKTURN_GATEWAY_ADDR="+gateway,
			"HOOKTURN_ADMIN_ADDR="+admin, "HOOKTURN_OPERATOR_TOKEN_FILE="+operator, "HOOKTURN_LICENCES=public=2"))
		require.Eventually(t, func() bool {
			answer, err := http.Get("http://" + admin + "/readyz")
			if err == nil {
				_ = answer.Body.Close()
			}
			return err == nil && answer.StatusCode == http.StatusOK
		}, patience, 50*time.Millisecond)
		return p, gateway, admin
	}
	_, _, admin := start()
	second, gateway, _ := start()

	status, body := ask(t, "POST", "http://"+admin+"/admin/v1/channels", "token-of-the-operator",
		`{"bot":"shop","code":"late","type":"public","recv_svcscriptcode":"hook","opts":{"issync":true}}`)
	require.Equal(t, http.StatusCreated, status, body)
	var made struct {
		Token   string `json:"token_local"`
		Channel struct{ ID string }
	}
	require.NoError(t, json.Unmarshal([]byte(body), &made))
	status, body = ask(t, "POST", "http://"+admin+"/admin/v1/channels", "token-of-the-operator", `{"bot":"shop","code":"more","type":"public"}`)
	require.Equal(t, http.StatusUnprocessableEntity, status, body)
	require.Contains(t, body, "the licence allows 2")

	answers := func(gateway string, want int) {
		require.Eventually(t, func() bool {
			status, body = ask(t, "POST", "http://"+gateway+"/exec", made.Token, "")
			return status == want
		}, patience, 50*time.Millisecond)
	}
	answers(gateway, http.StatusOK)
	require.Equal(t, "hello late", body)
	second.kill()
	_, gateway, _ = start()
	answers(gateway, http.StatusOK)

	status, body = ask(t, "DELETE", "http://"+admin+"/admin/v1/channels/"+made.Channel.ID, "token-of-the-operator", "")
	require.Equal(t, http.StatusNoContent, status, body)
	answers(gateway, http.StatusUnauthorized)
}

// ask sends JSON to the gateway or to the admin API.
func ask(t *testing.T, method, url, token, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	status, _, text, err := send(request)
	require.NoError(t, err)
	return status, text
}
