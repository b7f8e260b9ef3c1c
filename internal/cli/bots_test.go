package cli_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const botWithAddresses = `bot: shop
base_urls: {test: "https://shop.example/bot/"}
secrets: {tok: {secret: tok}}
bot_break: {default: "Sorry."}
scripts: {hook: {file: hook.py}}
steps: {ORDER: {webhook: {path: /orders}}, OTHER: {webhook: {url: "https://other.example/x"}}, OTP: {code: {file: hook.py}}}
adapters:
  agents: {account: "acc 1", product_token: tok, message_endpoint: {url: "https://desk.example/m"}, events_endpoint: {url: "https://desk.example/e"}}
  closed: {account: acc, handover_endpoint: {url: "https://desk.example/h"}}
channels: [{code: orders, type: public, recv_svcscriptcode: hook, url: "https://orders.example/api"}, {code: feed, type: subscriber}]
`

func TestBotsShow_PrintsEveryAddress(t *testing.T) {
	t.Parallel()
	dir := directory(t, map[string]string{"shop.yaml": botWithAddresses, "hook.py": "def main(event, context): pass", "bad.yaml": "x: 1\n"})
	out := succeed(t, &world{}, "bots", "show", "shop", "--bots", dir, "--gateway-url", "https://hooks.example/")
	require.Equal(t, `bot shop of tenant default
step     ORDER   haptik     https://shop.example/bot/orders
step     OTHER   haptik     https://other.example/x
step     OTP     haptik     code
adapter  agents  outbound   https://hooks.example/conversational/twoway/v2/accounts/acc%201/adapters/agents
adapter  agents  message    https://desk.example/m
adapter  agents  events     https://desk.example/e
adapter  closed  outbound   closed: no product_token
adapter  closed  handover   https://desk.example/h
channel  orders  http       https://hooks.example/exec
channel  orders  websocket  wss://hooks.example/ws/token/v1
channel  orders  far end    https://orders.example/api
channel  feed    websocket  wss://hooks.example/ws/token/v1
`, out)
	w := &world{env: map[string]string{"HOOKTURN_BOTS": dir, "HOOKTURN_GATEWAY_URL": "http://127.0.0.1:8080"}}
	require.JSONEq(t, `{"tenant":"default","bot":"shop",
		"steps":[{"step":"ORDER","dialect":"haptik","url":"https://shop.example/bot/orders"},
			{"step":"OTHER","dialect":"haptik","url":"https://other.example/x"},{"step":"OTP","dialect":"haptik","code":true}],
		"adapters":[{"adapter":"agents","outbound_url":"http://127.0.0.1:8080/conversational/twoway/v2/accounts/acc%201/adapters/agents",
			"message_url":"https://desk.example/m","events_url":"https://desk.example/e"},
			{"adapter":"closed","handover_url":"https://desk.example/h"}],
		"channels":[{"channel":"orders","type":"public","http_url":"http://127.0.0.1:8080/exec",
			"websocket_url":"ws://127.0.0.1:8080/ws/token/v1","url":"https://orders.example/api"},
			{"channel":"feed","type":"subscriber","websocket_url":"ws://127.0.0.1:8080/ws/token/v1"}]}`,
		succeed(t, w, "bots", "show", "shop", "--output", "json"))
}

func TestBotsShow_Errors(t *testing.T) {
	t.Parallel()
	dir := directory(t, map[string]string{"shop.yaml": goodBot})
	require.Contains(t, fail(t, &world{}, "bots", "show", "other", "--bots", dir), "no bot file of bot other of tenant default")
	require.Contains(t, fail(t, &world{}, "bots", "show", "shop"), "--bots is missing")
	require.Contains(t, fail(t, &world{}, "bots", "show", "shop", "--bots", dir, "--output", "xml"), "expected text or json")
	bad := directory(t, map[string]string{"shop.yaml": badBot})
	require.Contains(t, fail(t, &world{}, "bots", "show", "shop", "--bots", bad), "$.colour: unknown key")
}
