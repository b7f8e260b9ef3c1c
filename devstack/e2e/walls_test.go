package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/servers"
	"github.com/hookturn/hookturn/devstack/stack"
	"github.com/hookturn/hookturn/internal/app"
	"github.com/hookturn/hookturn/internal/permissions"
	"github.com/hookturn/hookturn/schemas"
)

// wallsBot has a channel with files, one with a websocket, and a step whose endpoint calls back.
const wallsBot = `
bot: walls
base_urls: {test: "$ENDPOINT"}
bot_break: {default: "Sorry."}
secrets: {desk: {file: desk-token}, key: {file: key}}
scripts: {fetch: {file: fetch.py}}
channels:
  - {code: desk, type: public, token_local: desk, recv_svcscriptcode: fetch, recv_svcscriptcode_ws: fetch, opts: {allow_files_api: true, issync: true, recv_timeout: 60}}
steps:
  ORDER: {webhook: {path: /orders}}
  LATER: {webhook: {dialect: plain, path: /later, secret: key, timeout: 1h}}
`

// fetchScript requests the file that the request names, and returns the result.
const fetchScript = `
import json
import hookturn

def main(event, context):
    name = json.loads(event["body"])["file"]
    if name == "own":
        kept = hookturn.put_file("a.txt", "of the script", "text/plain")
        hookturn.publish("files.kept", {"id": kept["id"]}, object="a")
        name = kept["id"]
    try:
        hookturn.get_file(name)
        said = "found"
    except Exception as e:
        said = str(e)
    return {"statusCode": 200, "body": said[:200]}
`

const deskToken = "0123456789abcdef-desk"

// writeWalls writes the bot's files.
func writeWalls(t *testing.T, endpointURL string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range map[string]string{
		"walls.yaml": strings.ReplaceAll(wallsBot, "$ENDPOINT", endpointURL), "fetch.py": fetchScript, "desk-token": deskToken,
		"key": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return dir
}

func startWalls(t *testing.T, samples *endpoint.Endpoint) (*stack.Stack, *engine) {
	t.Helper()
	_, err := samples.Start()
	require.NoError(t, err)
	dir := writeWalls(t, samples.URL())
	s, e := startWith(t, stack.Options{
		Bots: dir, Endpoint: samples, Gateway: app.Gateway{Addr: "127.0.0.1:0"}, AdminAddr: "127.0.0.1:0", Code: true,
	})
	require.NoError(t, s.NoCode)
	return s, e
}

// TestWalls_W1_LongIDsLeaveNATSOpen sends ids of thousands of characters by each way on which the gateway and scripts take
// one. They are a client's mistake, and everybody else is served as before.
func TestWalls_W1_LongIDsLeaveNATSOpen(t *testing.T) {
	t.Parallel()
	samples := endpoint.New(endpoint.Options{})
	samples.Handle("/orders", ok)
	s, e := startWalls(t, samples)
	gateway := "http://" + s.Starter.GatewayAddr()
	ask := func(method, path, body string) int {
		r, err := http.NewRequestWithContext(t.Context(), method, gateway+path, strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+deskToken)
		r.Header.Set("Content-Type", "application/json")
		status, _, text, err := send(r)
		require.NoError(t, err)
		require.Less(t, status, 500, "%s %.40s: %s", method, path, text)
		return status
	}
	for _, id := range []string{strings.Repeat("x", 3000), strings.Repeat("x.", 1500) + "x", "a b", "*", ">", "a\x00b", "..", "ä"} {
		escaped := url.PathEscape(id)
		require.Equal(t, http.StatusNotFound, ask(http.MethodGet, "/files/"+escaped, ""))
		require.Equal(t, http.StatusNotFound, ask(http.MethodDelete, "/files/"+escaped, ""))
		require.Equal(t, http.StatusNotFound, ask(http.MethodPost, "/files/"+escaped+"/links", ""))
		ask(http.MethodGet, "/public/files/"+escaped, "")
		ask(http.MethodPost, "/callbacks/"+escaped, "{}")
		ask(http.MethodPost, "/conversational/twoway/v2/accounts/"+escaped+"/adapters/"+escaped, "{}")
	}
	body, err := json.Marshal(map[string]string{"file": strings.Repeat("x", 9000)})
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, ask(http.MethodPost, "/exec", string(body)))

	socket := dial(t, s.Starter.GatewayAddr(), "/ws/token/v1", deskToken)
	for qid, class := range []string{strings.TrimSuffix(strings.Repeat("a.", 4001), "."), strings.Repeat("a", 3000), "a b", "a..b"} {
		answer := socket.ask(`["subscribe",{"qid":%d,"events":[%q]}]`, qid, class)
		require.Equal(t, "bad_event", answer["error"].(map[string]any)["kind"])
	}

	e.request(t, "walls", "c-1", "ORDER")
	e.replied(t, "walls", "c-1", 1)
	for _, path := range []string{"/healthz", "/readyz"} {
		answer, err := http.Get("http://" + s.Starter.AdminAddr() + path)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, http.StatusOK, answer.StatusCode, path)
	}
}

// TestWalls_W2_EngineReceivesNothingOfOthers subscribes to everything as the engine, while steps run, call back and store
// files.
func TestWalls_W2_EngineReceivesNothingOfOthers(t *testing.T) {
	t.Parallel()
	samples := endpoint.New(endpoint.Options{})
	called := make(chan string, 1)
	samples.Handle("/later", func(w http.ResponseWriter, r *http.Request) {
		offer(called, r.Header.Get("hookturn-callback"))
		w.WriteHeader(http.StatusAccepted)
	})
	s, e := startWalls(t, samples)
	spy, err := nats.Connect(s.NATS.UserURL(servers.Engine), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	require.NoError(t, err)
	t.Cleanup(spy.Close)
	heard := make(chan *nats.Msg, 1000)
	for _, subject := range []string{">", "_INBOX.>", "_INBOX_starter.>", "_INBOX_worker.>", "$KV.>", "$O.>", "$JS.>"} {
		_, err := spy.ChanSubscribe(subject, heard)
		require.NoError(t, err)
	}
	require.NoError(t, spy.Flush())

	e.request(t, "walls", "c-1", "LATER")
	address := next(t, called, "the request of step LATER")
	for _, word := range []string{"walls", "default", "c-1", "conversation"} {
		require.NotContains(t, address, word, "a callback address shows nothing")
	}
	status, text := callBack(t, address, `{"messages":[{"type":"text","text":"done"}]}`)
	require.Equal(t, http.StatusAccepted, status, text)
	e.replied(t, "walls", "c-1", 1)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		"http://"+s.Starter.GatewayAddr()+"/files?name=a.txt", strings.NewReader("of the bot"))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+deskToken)
	r.Header.Set("Content-Type", "text/plain")
	status, _, text, err = send(r)
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, status, text)

	require.NoError(t, e.operator.Conn().Publish("hookturn.replies.acme.shop.c", []byte(`{}`)))
	require.NoError(t, e.operator.Conn().Publish("hookturn.replies.default.walls.last", []byte(`{}`)))
	for last := false; !last; {
		select {
		case m := <-heard:
			own := strings.Contains(m.Subject, ".default.") || strings.Contains(string(m.Data), `"stream":"HOOKTURN_EVENTS"`)
			require.True(t, own, "%s %s", m.Subject, m.Data) // what engines of this tenant publish, and the acknowledgement of it
			last = m.Subject == "hookturn.replies.default.walls.last"
		case <-time.After(patience):
			t.Fatal("the engine does not hear its own replies")
		}
	}
}

// TestWalls_W15_EngineReadsItsDeadLetters publishes what cannot be served, and reads with the engine's own user what became
// of it: as it happens, and from the store.
func TestWalls_W15_EngineReadsItsDeadLetters(t *testing.T) {
	t.Parallel()
	samples := endpoint.New(endpoint.Options{})
	s, _ := startWalls(t, samples)
	nc, err := nats.Connect(s.NATS.UserURL(servers.Engine))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.NewWithDomain(nc, permissions.Domain)
	require.NoError(t, err)
	live, err := nc.SubscribeSync("hookturn.deadletters.default.>")
	require.NoError(t, err)
	event := fmt.Sprintf(`{"specversion":"1.0","id":"d-1","source":"/e","type":"hookturn.step.requested","time":%q,"subject":"c-1",`+
		`"data":{"step":"ORDER"}}`, time.Now().UTC().Format(time.RFC3339))
	_, err = js.Publish(t.Context(), "hookturn.events.default.unknown.c-1", []byte(event))
	require.NoError(t, err)
	letter, err := live.NextMsg(patience)
	require.NoError(t, err)
	require.Equal(t, "unknown_bot", letter.Header.Get("Hookturn-Reason"))
	reader, err := js.Consumer(t.Context(), schemas.StreamDeadLetters, "default")
	require.NoError(t, err)
	stored, err := reader.Next(jetstream.FetchMaxWait(patience))
	require.NoError(t, err)
	require.Equal(t, event, string(stored.Data()))
	require.NoError(t, stored.DoubleAck(t.Context()))
}

// TestWalls_W16_CodeWorkerHasItsOwnUser runs scripts on a worker that connects as the user "code", which may do less.
func TestWalls_W16_CodeWorkerHasItsOwnUser(t *testing.T) {
	t.Parallel()
	dir := writeWalls(t, "http://127.0.0.1:1")
	_, where := runServers(t, append(anyPort(), "--engine=false")...)
	addr := freeAddr()
	run(t, program(t, "starter"), append(environment(where, dir), "HOOKTURN_GATEWAY_ADDR="+addr))
	run(t, program(t, "worker"), environment(where, dir))
	code := run(t, program(t, "worker"), append(environment(where, dir), "HOOKTURN_TASK_QUEUES=hookturn-code",
		"HOOKTURN_GATEWAY_URL=http://"+addr))
	var said string
	require.Eventually(t, func() bool {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/exec", strings.NewReader(`{"file":"own"}`))
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+deskToken)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		said = string(text)
		return answer.StatusCode == http.StatusOK
	}, 2*patience, 100*time.Millisecond, "no script ran")
	require.Equal(t, "found", said)
	log, err := os.ReadFile(code.log)
	require.NoError(t, err)
	require.NotContains(t, string(log), "ermissions violation")
}
