package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

const socketBot = `
bot: shop
secrets: {orders: {file: orders-token}, feed: {file: feed-token}}
scripts: {hook: {file: hook.py, timeout: 60s}, slow: {file: slow.py}}
channels:
  - {code: orders, type: public, token_local: orders, recv_svcscriptcode_ws: hook, opts: {recv_timeout: 60}}
  - {code: feed, type: subscriber, token_local: feed}
`

// socketScript does what the message's data asks for.
const socketScript = `
import json
import time
import hookturn

def main(event, context):
    data = json.loads(event["body"])
    assert startparam(2) == "message" and startparam(3) == data and startparam(7) == "websocket"
    if "push" in data:
        hookturn.push(data["push"], "order_paid", {"by": startparam(5)})
    if "publish" in data:
        hookturn.publish("orders.paid", data["publish"], object="A1")
    time.sleep(data.get("sleep", 0))
    return {"statusCode": 200, "body": json.dumps({"said": data.get("say")})}
`

// frames is one end of a websocket.
type frames struct {
	*websocket.Conn
	t *testing.T
}

func dial(t *testing.T, gateway, path, token string) frames {
	t.Helper()
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+gateway+path, &websocket.DialOptions{HTTPHeader: header})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return frames{conn, t}
}

func (f frames) say(format string, args ...any) {
	f.t.Helper()
	require.NoError(f.t, f.Write(f.t.Context(), websocket.MessageText, fmt.Appendf(nil, format, args...)))
}

func (f frames) receive() (name string, body map[string]any) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	_, text, err := f.Read(ctx)
	require.NoError(f.t, err)
	var frame []json.RawMessage
	require.NoError(f.t, json.Unmarshal(text, &frame))
	require.NoError(f.t, json.Unmarshal(frame[0], &name))
	require.NoError(f.t, json.Unmarshal(frame[1], &body))
	return name, body
}

func (f frames) ask(format string, args ...any) map[string]any {
	f.t.Helper()
	f.say(format, args...)
	_, body := f.receive()
	return body
}

// TestWebSockets_OnTwoGateways calls scripts, pushes to a connection of the other gateway, publishes events to subscribers
// of both, and stops one gateway.
func TestWebSockets_OnTwoGateways(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"shop.yaml": socketBot, "hook.py": socketScript, "orders-token": "token-of-the-orders", "feed-token": "token-of-the-feed",
		"slow.py": "import time\ndef main(e, c):\n    time.sleep(startparam(1))\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	_, where := runServers(t, append(anyPort(), "--engine=false")...)
	e := newEngine(t, "nats://"+where["nats"])
	run(t, program(t, "worker"), append(environment(where, dir), "HOOKTURN_TASK_QUEUES=hookturn,hookturn-code"))
	var gateways []string
	var starters []*proc
	for range 2 {
		addr := freeAddr()
		starters = append(starters, run(t, program(t, "starter"), append(environment(where, dir), "HOOKTURN_GATEWAY_ADDR="+addr)))
		gateways = append(gateways, addr)
		awaitListening(t, addr)
	}

	here := dial(t, gateways[0], "/ws/token/v1/token-of-the-orders", "")
	there := dial(t, gateways[1], "/ws/token/v1", "token-of-the-orders")
	info := there.ask(`["connection_info",{"qid":1}]`)
	require.Equal(t, "orders", info["integration_point_code"])

	here.say(`["message",{"qid":1,"data":{"say":"slowly","sleep":30}}]`)
	here.say(`["message",{"qid":2,"data":{"say":"quickly"}}]`)
	for _, want := range []map[string]any{
		{"qid": 2.0, "success": true, "data": map[string]any{"said": "quickly"}},
		{"qid": 1.0, "success": true, "data": map[string]any{"said": "slowly"}},
	} {
		name, body := here.receive()
		require.Equal(t, "message_result", name)
		require.Equal(t, want, body)
	}

	require.Equal(t, true, here.ask(`["message",{"qid":3,"data":{"push":%q}}]`, info["connectionid"])["success"])
	name, body := there.receive()
	require.Equal(t, "order_paid", name, "a script on a worker reaches a connection on the other gateway")
	require.NotEqual(t, info["connectionid"], body["data"].(map[string]any)["by"])
	gone := here.ask(`["message",{"qid":4,"data":{"push":"0123-4567"}}]`)
	require.Equal(t, "script_exception", gone["error"].(map[string]any)["kind"])

	require.Equal(t, true, there.ask(`["subscribe",{"qid":2,"id":"s","events":["orders.*"],"objects":["A1"]}]`)["success"])
	require.Equal(t, true, here.ask(`["message",{"qid":5,"data":{"publish":{"total":7}}}]`)["success"])
	name, body = there.receive()
	require.Equal(t, "event", name)
	require.Equal(t, []any{"s", "orders.paid", "A1", map[string]any{"total": 7.0}},
		[]any{body["id"], body["class"], body["object"], body["data"]})

	here.say(`["start_svcscript",{"qid":6,"code":"slow","startparam1":20,"timeout":500}]`)
	_, body = here.receive()
	require.Equal(t, "script_timeout", body["error"].(map[string]any)["kind"])
	here.say(`["start_svcscript",{"qid":7,"code":"slow","startparam1":20,"timeout":30000}]`)
	here.say(`["abort_svcscript",{"qid":7}]`)
	for range 2 {
		name, body = here.receive()
		require.Equal(t, name == "abort_svcscript_result", body["success"], name)
	}

	testSubscribersOnTwoGateways(t, e, gateways)

	closing := make(chan websocket.StatusCode, 1)
	go func() {
		_, _, err := here.Read(context.Background())
		closing <- websocket.CloseStatus(err)
	}()
	starters[0].stop(t)
	require.Equal(t, websocket.StatusGoingAway, next(t, closing, "the end of the connection"))
	require.Equal(t, true, there.ask(`["message",{"qid":9,"data":{"say":1}}]`)["success"], "the other gateway goes on")
}

// testSubscribersOnTwoGateways has three connections of a subscriber channel with two subscriptions each: every event comes
// once in all.
func testSubscribersOnTwoGateways(t *testing.T, e *engine, gateways []string) {
	t.Helper()
	const events = 60
	received := make(chan string, 3*events)
	for i := range 3 {
		c := dial(t, gateways[i%2], "/ws/token/v1", "token-of-the-feed")
		require.Equal(t, "config", c.ask(`["message",{"qid":0}]`)["error"].(map[string]any)["kind"])
		for qid, class := range []string{"stock.low", ">"} {
			require.Equal(t, true, c.ask(`["subscribe",{"qid":%d,"id":"s%d","events":[%q]}]`, qid, qid, class)["success"])
		}
		go func() {
			for {
				_, text, err := c.Read(context.Background())
				if err != nil {
					return
				}
				var frame []json.RawMessage
				var body struct {
					ID string `json:"event_id"`
				}
				if json.Unmarshal(text, &frame) != nil || json.Unmarshal(frame[1], &body) != nil {
					body.ID = "no frame: " + string(text)
				}
				received <- body.ID
			}
		}()
	}
	want := map[string]bool{}
	for range events {
		notice, err := schemas.NewNotice(schemas.BotID{Tenant: "default", Bot: "shop"}, "stock.low", "A1", time.Now(), json.RawMessage(`1`))
		require.NoError(t, err)
		text, err := schemas.Marshal(notice)
		require.NoError(t, err)
		require.NoError(t, e.js.Conn().Publish(schemas.NoticeSubject(schemas.BotID{Tenant: "default", Bot: "shop"}, "stock.low"), text))
		want[notice.ID] = true
	}
	for range events {
		select {
		case id := <-received:
			require.True(t, want[id], "%s was received twice, or was not published", id)
			delete(want, id)
		case <-time.After(patience):
			t.Fatalf("%d events were not received", len(want))
		}
	}
	select {
	case id := <-received:
		t.Fatal(id + " was received twice")
	case <-time.After(200 * time.Millisecond):
	}
}
