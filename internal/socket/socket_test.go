package socket

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/leaktest"
	"github.com/hookturn/hookturn/schemas"
)

func TestMain(m *testing.M) { leaktest.VerifyTestMain(m) }

const soon = time.Minute // no test waits this long unless something is broken

func TestSocket_MessagesAreAnsweredByTheirQidInAnyOrder(t *testing.T) {
	t.Parallel()
	s := serve(t, newPubSub(t), public())
	c := s.dial()
	c.say(`["message",{"qid":1,"data":{"wait":true}}]`)
	c.say(`["message",{"qid":"two","data":[2],"more":1}]`)
	name, body := c.hear()
	require.Equal(t, "message_result", name)
	require.Equal(t, map[string]any{"qid": "two", "success": true, "data": []any{2.0}}, body)
	refused := c.ask(`["message",{"qid":1,"data":3}]`)
	require.Equal(t, false, refused["success"])
	require.Contains(t, refused["error"].(map[string]any)["message"], "qid runs already")
	close(s.scripts.hold)
	_, body = c.hear()
	require.Equal(t, map[string]any{"qid": 1.0, "success": true, "data": map[string]any{"wait": true}}, body)
	require.Nil(t, c.ask(`["message",{"qid":4}]`)["data"])
	var params []any
	ran := s.scripts.ranWith("[2]")
	require.Equal(t, 3, ran.BodyParam, "the body is the parameter that is null here")
	for _, p := range ran.Params {
		var value any
		require.NoError(t, json.Unmarshal(p, &value))
		params = append(params, value)
	}
	require.Len(t, params, 7)
	require.Equal(t, "orders", params[0].(map[string]any)["code"])
	require.Equal(t, []any{"message", nil, "two"}, params[1:4])
	require.Equal(t, []any{"203.0.113.9", "websocket"}, params[5:])
	require.True(t, strings.HasPrefix(params[4].(string), s.name+"-"))
}

func TestConnection_Info(t *testing.T) {
	t.Parallel()
	info := serve(t, newPubSub(t), public()).dial().ask(`["connection_info",{"qid":1}]`)
	require.Equal(t, []any{"msg", "svcscript", "subscr"}, info["capabilities"])
	require.Equal(t, []any{"r"}, info["roles"])
	for name, want := range map[string]any{
		"qid": 1.0, "success": true, "result": "ok", "site": "here", "ownertype": "token", "domain": "default",
		"integration_point_id": "id-1", "integration_point_code": "orders", "integration_point_type": "public",
	} {
		require.Equal(t, want, info[name], name)
	}
	require.NotContains(t, info, "token")
}

// TestConnection_InfoWithoutCapabilities: a list of capabilities without an element is a list.
func TestConnection_InfoWithoutCapabilities(t *testing.T) {
	t.Parallel()
	ch := public()
	ch.Type, ch.Opts.Capabilities, ch.Opts.Roles = bot.ChannelSubscriber, []string{capabilityMessage}, nil
	info := serve(t, newPubSub(t), ch).dial().ask(`["connection_info",{"qid":1}]`)
	require.Equal(t, []any{}, info["capabilities"])
	require.Equal(t, []any{}, info["roles"])
}

func TestScripts_ByName(t *testing.T) {
	t.Parallel()
	s := serve(t, newPubSub(t), public())
	c := s.dial()
	body := c.ask(`["start_svcscript",{"qid":1,"code":"hook","startparam1":"a","startparam3":{"b":1},"startparam20":"t"}]`)
	require.Equal(t, map[string]any{"qid": 1.0, "success": true, "result": "ok", "data": map[string]any{"variables": map[string]any{}}}, body)
	require.Len(t, s.scripts.ran[0].Params, 20)
	require.JSONEq(t, `"a"`, string(s.scripts.ran[0].Params[0]))
	require.JSONEq(t, `null`, string(s.scripts.ran[0].Params[1]))
	require.JSONEq(t, `{"b":1}`, string(s.scripts.ran[0].Params[2]))

	c.say(`["start_svcscript",{"qid":2,"code":"wait"}]`)
	c.say(`["abort_svcscript",{"qid":2}]`)
	frames := map[string]map[string]any{}
	for range 2 {
		name, body := c.hear()
		frames[name] = body
	}
	require.Equal(t, true, frames["abort_svcscript_result"]["success"])
	require.Equal(t, "cancelled", frames["start_svcscript_result"]["error"].(map[string]any)["kind"])

	for frame, want := range map[string][2]string{
		`["start_svcscript",{"qid":3}]`:                             {"bad_event", "code is missing"},
		`["start_svcscript",{"qid":3,"code":7}]`:                    {"bad_event", "code must be a string"},
		`["start_svcscript",{"qid":3,"code":"x","timeout":0}]`:      {"bad_event", "timeout must be a whole number from 1 to 60000"},
		`["start_svcscript",{"qid":3,"code":"x","timeout":"soon"}]`: {"bad_event", "timeout must be"},
		`["start_svcscript",{"qid":3,"code":"gone"}]`:               {"unknown_step", "no script gone"},
		`["start_svcscript",{"qid":3,"code":"raise"}]`:              {"script_exception", "see its run for the reason"},
		`["start_svcscript",{"qid":3,"code":"away"}]`:               {"internal", "try again"},
		`["abort_svcscript",{"qid":3}]`:                             {"bad_event", "no call with this qid runs"},
	} {
		problem := c.ask(frame)["error"].(map[string]any)
		require.Equal(t, want[0], problem["kind"], frame)
		require.Contains(t, problem["message"], want[1], frame)
	}
}

func TestSocket_BadFrames(t *testing.T) {
	t.Parallel()
	s := serve(t, newPubSub(t), public())
	for frame, want := range map[string][2]string{
		``:                       {"error", "there is no text"},
		`{`:                      {"error", "not one well-formed JSON value"},
		`{"message":1}`:          {"error", "array of a name and an object"},
		`["message"]`:            {"error", "array of a name and an object"},
		`["message",{},{}]`:      {"error", "array of a name and an object"},
		`[7,{}]`:                 {"error", "the name of a frame"},
		`["Message me",{}]`:      {"error", "the name of a frame"},
		`["message",7]`:          {"message_result", "second part"},
		`["message",{}]`:         {"message_result", "qid is missing"},
		`["message",{"qid":{}}]`: {"message_result", "qid is missing"},
		`["message",{"qid":"` + strings.Repeat("q", 200) + `"}]`: {"message_result", "qid is too long"},
		`["reboot",{"qid":1}]`:                                 {"reboot_result", "no call of this name"},
		strings.Repeat("[", 20_000):                            {"error", "deeper than"},
		`["message",{"qid":1,"data":"` + "\x00" + `"}]`:        {"error", "not one well-formed"},
		`["message",{"qid":1,"da\u0000ta":1}]`:                 {"error", "U+0000"},
		`["subscribe",{"qid":1,"events":"a"}]`:                 {"subscribe_result", "events must be an array"},
		`["subscribe",{"qid":1,"events":["a b"]}]`:             {"subscribe_result", "a class of events"},
		`["subscribe",{"qid":1,"events":["a.>.b"]}]`:           {"subscribe_result", "a class of events"},
		`["subscribe",{"qid":1,"events":[]}]`:                  {"subscribe_result", "1 to 16 classes"},
		`["subscribe",{"qid":1}]`:                              {"subscribe_result", "1 to 16 classes"},
		`["subscribe",{"qid":1,"expires":4000}]`:               {"subscribe_result", "from 0 to 3600"},
		`["subscribe",{"qid":1,"id":7}]`:                       {"subscribe_result", "id must be a string"},
		`["subscribe",{"qid":1,"events":["a"],"objects":[1]}]`: {"subscribe_result", "objects must be an array"},
	} {
		c := s.dial()
		c.say(frame)
		name, body := c.hear()
		require.Equal(t, want[0], name, frame)
		require.Equal(t, false, body["success"], frame)
		require.Contains(t, body["error"].(map[string]any)["message"], want[1], frame)
		require.Equal(t, true, c.ask(`["connection_info",{"qid":9}]`)["success"], "the connection lives on")
		require.NoError(t, c.Close(websocket.StatusNormalClosure, ""))
	}
}

func TestSocket_HowAConnectionEnds(t *testing.T) {
	t.Parallel()
	s := serve(t, newPubSub(t), public())

	binary := s.dial()
	require.NoError(t, binary.Write(t.Context(), websocket.MessageBinary, []byte(`["message",{"qid":1}]`)))
	require.Equal(t, websocket.StatusUnsupportedData, binary.ends())

	large := s.dial()
	_ = large.Write(t.Context(), websocket.MessageText, []byte(`["message",{"qid":1,"data":"`+strings.Repeat("a", frameMax)+`"}]`))
	require.Equal(t, websocket.StatusMessageTooBig, large.ends())

	rude := s.dial()
	for range badFramesMax {
		rude.say(`[]`)
	}
	require.Equal(t, websocket.StatusPolicyViolation, rude.ends())

	polite := s.dial()
	writer, err := polite.Writer(t.Context(), websocket.MessageText) // in fragments
	require.NoError(t, err)
	for _, part := range []string{`["message"`, `,{"qid":`, `5,"data":1}]`} {
		_, err := writer.Write([]byte(part))
		require.NoError(t, err)
	}
	require.NoError(t, writer.Close())
	_, body := polite.hear()
	require.EqualValues(t, 5, body["qid"])

	polite.say(`["message",{"qid":6,"data":"wait"}]`)
	require.Eventually(t, func() bool { s.scripts.mu.Lock(); defer s.scripts.mu.Unlock(); return len(s.scripts.ran) == 2 }, soon, time.Millisecond)
	require.NoError(t, polite.CloseNow(), "what runs for a client that is gone is aborted")
}

func TestSocket_StopLetsCallsFinish(t *testing.T) {
	t.Parallel()
	s := serve(t, newPubSub(t), public())
	c := s.dial()
	c.say(`["message",{"qid":1,"data":"wait"}]`)
	require.Eventually(t, func() bool { s.scripts.mu.Lock(); defer s.scripts.mu.Unlock(); return len(s.scripts.ran) == 1 }, soon, time.Millisecond)
	stopped := make(chan struct{})
	go func() { defer close(stopped); s.Close(context.Background()) }()
	require.Eventually(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.closed }, soon, time.Millisecond)
	_, _, err := websocket.Dial(t.Context(), s.url, nil)
	require.ErrorContains(t, err, "503")
	close(s.scripts.hold)
	name, body := c.hear()
	require.Equal(t, "message_result", name)
	require.Equal(t, true, body["success"])
	require.Equal(t, websocket.StatusGoingAway, c.ends())
	<-stopped
}

func TestSocket_Capabilities(t *testing.T) {
	t.Parallel()
	ch := public()
	ch.Opts.Capabilities = []string{"subscr"}
	c := serve(t, newPubSub(t), ch).dial()
	for _, frame := range []string{`["message",{"qid":1}]`, `["start_svcscript",{"qid":1,"code":"hook"}]`} {
		require.Equal(t, "blocked", c.ask(frame)["error"].(map[string]any)["kind"])
	}
	require.Equal(t, true, c.ask(`["subscribe",{"qid":1,"events":["a"]}]`)["success"])
	require.Equal(t, []any{"subscr"}, c.ask(`["connection_info",{"qid":1}]`)["capabilities"])
	silent := public()
	silent.RecvWS = ""
	require.Equal(t, "config", serve(t, newPubSub(t), silent).dial().ask(`["message",{"qid":1}]`)["error"].(map[string]any)["kind"])
}

func TestSocket_Subscriptions(t *testing.T) {
	t.Parallel()
	w := newPubSub(t)
	s := serve(t, w, public())
	c := s.dial()
	require.Equal(t, map[string]any{"qid": 1.0, "success": true, "result": "ok", "id": "s", "expires": 300.0},
		c.ask(`["subscribe",{"qid":1,"id":"s","events":["orders.*","orders.paid"],"objects":["A1","A2"]}]`))
	w.notify("shop", "orders.paid", `{"id":"e1","subject":"A1","data":{"x":1}}`)
	w.notify("shop", "orders.paid", `{"id":"e2","subject":"B1"}`)
	w.notify("shop", "stock.low", `{"id":"e3","subject":"A1"}`)
	w.notify("other", "orders.paid", `{"id":"e4","subject":"A1"}`)
	w.notify("shop", "orders.paid", `{"subject":"A1"}`)
	w.notify("shop", "orders.sent", `{"id":"e5","subject":"A2","data":2}`)
	name, body := c.hear()
	require.Equal(t, "event", name)
	require.Equal(t, map[string]any{"id": "s", "class": "orders.paid", "object": "A1", "event_id": "e1", "data": map[string]any{"x": 1.0}}, body)
	_, body = c.hear()
	require.Equal(t, "e5", body["event_id"], "one frame for an event, and only for one that was wanted")

	require.Equal(t, true, c.ask(`["subscribe",{"qid":2,"id":"s","expires":3600}]`)["success"], "renewed")
	require.Equal(t, 1, w.listeners())
	require.Equal(t, true, c.ask(`["subscribe",{"qid":3,"id":"s","events":["stock.>"]}]`)["success"], "replaced")
	require.Equal(t, 1, w.listeners())
	require.Equal(t, true, c.ask(`["subscribe",{"qid":4,"id":"s","expires":0}]`)["success"], "ended")
	require.Zero(t, w.listeners())
	require.NotEmpty(t, c.ask(`["subscribe",{"qid":5,"events":["a"],"expires":1}]`)["id"], "it gets an id")
	require.Eventually(t, func() bool { return w.listeners() == 0 }, soon, 10*time.Millisecond, "it expires")
}

// TestSubscribe_NeedsRole: a channel without the role may end a subscription and begin none.
func TestSubscribe_NeedsRole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shop.yaml"), []byte(`bot: shop
channel_roles: {subscriptions: monitor}
channels: [{code: bare, type: public}, {code: seeing, type: public, opts: {roles: [monitor]}}]
`), 0o600))
	set, err := bot.Load(dir, bot.Options{Dialects: dialects.Specs()})
	require.NoError(t, err)
	w := newPubSub(t)
	channels := set.Bots()[0].Channels()
	bare := serve(t, w, channels[0]).dial()
	answer := bare.ask(`["subscribe",{"qid":1,"id":"s","events":["orders.*"]}]`)
	require.Equal(t, false, answer["success"])
	require.Equal(t, map[string]any{"kind": "blocked", "message": "the channel does not have the role monitor"}, answer["error"])
	require.Zero(t, w.listeners())
	require.Equal(t, true, bare.ask(`["subscribe",{"qid":2,"id":"s","expires":0}]`)["success"], "ending needs no role")
	seeing := serve(t, w, channels[1]).dial()
	require.Equal(t, true, seeing.ask(`["subscribe",{"qid":1,"id":"s","events":["orders.*"]}]`)["success"])
}

// TestSubscriber_ReceivesEventOnce has three connections on two gateways, each with two subscriptions that match.
func TestSubscriber_ReceivesEventOnce(t *testing.T) {
	t.Parallel()
	w := newPubSub(t)
	ch := public()
	ch.Type = bot.ChannelSubscriber
	one, two := serve(t, w, ch), serve(t, w, ch)
	received := make(chan string, 100)
	for _, s := range []*server{one, one, two} {
		c := s.dial()
		require.Equal(t, "config", c.ask(`["message",{"qid":1}]`)["error"].(map[string]any)["kind"], "it runs no scripts")
		require.Equal(t, true, c.ask(`["subscribe",{"qid":1,"id":"a","events":["orders.*"]}]`)["success"])
		require.Equal(t, true, c.ask(`["subscribe",{"qid":2,"id":"b","events":[">"]}]`)["success"])
		go func() {
			for {
				_, text, err := c.Read(context.Background())
				if err != nil {
					return
				}
				received <- string(text)
			}
		}()
	}
	for i := range 20 {
		w.notify("shop", "orders.paid", `{"id":"e`+string(rune('a'+i))+`"}`)
	}
	events := map[string]int{}
	for range 20 {
		select {
		case text := <-received:
			events[text[strings.Index(text, `"event_id"`):][:16]]++
		case <-time.After(soon):
			t.Fatal("an event was lost")
		}
	}
	require.Len(t, events, 20)
	select {
	case text := <-received:
		t.Fatal("an event came again: " + text)
	case <-time.After(50 * time.Millisecond):
	}
}

func TestPush_FromAnotherProcess(t *testing.T) {
	t.Parallel()
	w := newPubSub(t)
	s := serve(t, w, public())
	c := s.dial()
	id := c.ask(`["connection_info",{"qid":1}]`)["connectionid"].(string)
	address, ok := Address(id)
	require.True(t, ok)
	send := func(owner schemas.BotID, connection, name string) error {
		request, err := Push(owner, connection, name, json.RawMessage(`{"n":1}`))
		require.NoError(t, err)
		return Pushed(w.serves[address](request))
	}
	require.NoError(t, send(schemas.BotID{Tenant: "default", Bot: "shop"}, id, "order_paid"))
	name, body := c.hear()
	require.Equal(t, "order_paid", name)
	require.Equal(t, map[string]any{"data": map[string]any{"n": 1.0}}, body)
	require.ErrorContains(t, send(schemas.BotID{Tenant: "default", Bot: "other"}, id, "x"), "no such connection", "it is another bot's")
	require.ErrorContains(t, send(schemas.BotID{Tenant: "default", Bot: "shop"}, id+"0", "x"), "no such connection")
	require.ErrorContains(t, Pushed(w.serves[address]([]byte("{"))), "the push is not valid")
	_, err := Push(schemas.BotID{Tenant: "default", Bot: "shop"}, id, "Not a name", nil)
	require.ErrorContains(t, err, "the name of a message")
	_, ok = Address("nowhere")
	require.False(t, ok)
}

// TestSocket_SilentClientIsCutOff keeps a connection open and answers no ping. One that answers each is asked again.
func TestSocket_SilentClientIsCutOff(t *testing.T) {
	t.Parallel()
	s := serve(t, newPubSub(t), public(), func(h *Hub) { h.Ping, h.Pong = 20*time.Millisecond, 200*time.Millisecond })
	s.dial() // this client does not read, so it answers no pings
	require.Eventually(t, func() bool { return s.counts.open() == 0 }, soon, time.Millisecond)

	patient := serve(t, newPubSub(t), public(), func(h *Hub) { h.Ping, h.Pong = 20*time.Millisecond, soon })
	var pings atomic.Int64
	lively := patient.dial(func(o *websocket.DialOptions) {
		o.OnPingReceived = func(context.Context, []byte) bool { pings.Add(1); return true }
	})
	go func() { _, _, _ = lively.Read(context.Background()) }()
	require.Eventually(t, func() bool { return pings.Load() > 3 }, soon, time.Millisecond, "each ping but the last was answered")
	require.Equal(t, 1, patient.counts.open())
}

// TestSocket_SlowReaderIsCutOff pushes more than a client reads.
func TestSocket_SlowReaderIsCutOff(t *testing.T) {
	t.Parallel()
	w := newPubSub(t)
	s := serve(t, w, public())
	c := s.dial()
	id := c.ask(`["connection_info",{"qid":1}]`)["connectionid"].(string)
	address, _ := Address(id)
	large, err := json.Marshal(strings.Repeat("a", 1<<20))
	require.NoError(t, err)
	request, err := Push(schemas.BotID{Tenant: "default", Bot: "shop"}, id, "flood", large)
	require.NoError(t, err)
	refused := false
	for range 100 {
		if refused = Pushed(w.serves[address](request)) != nil; refused {
			break
		}
	}
	require.True(t, refused)
	require.Eventually(t, func() bool { return s.counts.open() == 0 }, soon, 10*time.Millisecond)
}

func TestSocket_CallsAreBounded(t *testing.T) {
	t.Parallel()
	s := serve(t, newPubSub(t), public())
	c := s.dial()
	for i := range connectionCalls {
		c.say(`["message",{"qid":` + strconv.Itoa(i) + `,"data":"wait"}]`)
	}
	require.Equal(t, "rate_limited", c.ask(`["message",{"qid":"more"}]`)["error"].(map[string]any)["kind"])
	close(s.scripts.hold)
	for range connectionCalls {
		_, body := c.hear()
		require.Equal(t, true, body["success"])
	}
	require.Equal(t, connectionCalls, s.counts.frames["message ok"])
}
