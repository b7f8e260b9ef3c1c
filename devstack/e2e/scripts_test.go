package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/endpoint"
	"github.com/hookturn/hookturn/devstack/stack"
	"github.com/hookturn/hookturn/internal/app"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/secret"
	"github.com/hookturn/hookturn/internal/signature"
)

// TestScripts runs the stories of testdata on one stack. Each story has its own bot, named like its file; its bot file is
// $BOT.yaml, in which $ENDPOINT stands for the webhook server. The commands are:
//
//	answer PATH WHAT...            responses of the endpoint to the attempts of a step: a status, or FILE for 200 and a body
//	header PATH NAME VALUE         a header of those answers
//	slow PATH DURATION             how long the endpoint takes
//	hold PATH                      the endpoint holds its responses
//	open PATH [DURATION]           after that time, if any, sends the responses that it holds, and all that follow
//	send CONVERSATION TYPE FILE [id=ID] [useful=DURATION]
//	replies CONVERSATION TYPE FILE the next reply of the conversation has this type and contains the content of FILE
//	called PATH N                  the endpoint was called N times
//	request PATH N FILE            the N-th request (from 1) has a body that contains the content of FILE
//	requestheader PATH N NAME VALUE
//	requested PATH N               waits until the endpoint was called N times
//	signed PATH N SCHEME SECRET    the N-th request is signed with this secret by this scheme
//	callback PATH N FILE STATUS    posts FILE to the callback address of the N-th request, which answers with this status
//	gateway METHOD PATH STATUS FILE [NAME:VALUE...]
//	                               sends a request to the gateway, which answers with this status; FILE is the body, - = no body, $BOT in it
//	answered FILE                  the gateway's last response contains the content of FILE
//	answeredtext TYPE FILE         the gateway's last answer has this Content-Type and is FILE
//	deadletter REASON FILE         a dead letter has this reason and, byte for byte, this payload
//	raw CONVERSATION FILE          publish the bytes of FILE as they are
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	hooks := newHooks()
	samples := endpoint.New(endpoint.Options{})
	_, err = samples.Start()
	require.NoError(t, err)
	bots := t.TempDir()
	for _, file := range files {
		writeBot(t, file, bots, samples.URL())
	}
	tokens := filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, os.WriteFile(tokens, []byte("default "+eventToken+"\n"), 0o600))
	s, e := startWith(t, stack.Options{
		Bots: bots, Endpoint: samples, Gateway: app.Gateway{Addr: "127.0.0.1:0", EventTokens: tokens}, Code: true,
	})
	require.NoError(t, s.NoCode)
	run := &scripts{engine: e, hooks: hooks, samples: samples, gateway: "http://" + s.Starter.GatewayAddr()}
	stories := atOnce{T: t, group: &sync.WaitGroup{}}
	defer stories.group.Wait()
	testscript.RunT(stories, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Values[botKey{}] = filepath.Base(env.WorkDir)[len("script-"):]
			env.Values[readKey{}] = map[string]int{}
			env.Values[answerKey{}] = &answer{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"answer": run.answer, "header": run.header, "slow": run.slow, "hold": run.hold, "open": run.open,
			"send": run.send, "replies": run.replies, "called": run.called, "request": run.request,
			"requestheader": run.requestHeader, "deadletter": run.deadLetter, "raw": run.raw, "requested": run.requested,
			"signed": run.signed, "callback": run.callback, "gateway": run.askGateway, "answered": run.answered,
			"answeredtext": run.answeredText,
		},
	})
}

type (
	botKey  struct{}
	readKey struct{}

	answerKey struct{} // of the gateway's last answer
)

// eventToken lets the stories publish events over HTTP.
const eventToken = "event-token-of-the-stories"

type answer struct {
	header http.Header
	body   []byte
}

// writeBot takes a story's bot file out of its archive.
func writeBot(t *testing.T, file, dir, url string) {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	require.NoError(t, err)
	name := strings.TrimSuffix(filepath.Base(file), ".txt")
	for _, f := range archive.Files {
		switch {
		case f.Name == "bot.yaml":
			content := strings.NewReplacer("$ENDPOINT", url+"/"+name, "$BOT", name).Replace(string(f.Data))
			require.NoError(t, os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(content), 0o600))
		case strings.HasSuffix(f.Name, ".py"):
			script := strings.ReplaceAll(string(f.Data), "$ENDPOINT", url)
			require.NoError(t, os.WriteFile(filepath.Join(dir, name+"-"+f.Name), []byte(script), 0o600))
		case strings.HasPrefix(f.Name, "secret-"):
			content := strings.TrimSuffix(string(f.Data), "\n")
			require.NoError(t, os.WriteFile(filepath.Join(dir, name+"-"+f.Name), []byte(content), 0o600))
		}
	}
}

// scripts are the commands of the stories.
type scripts struct {
	engine  *engine
	hooks   *hooks
	samples *endpoint.Endpoint
	gateway string // its URL
}

func botOf(ts *testscript.TestScript) string { return ts.Value(botKey{}).(string) }

// path is the story's own path at the endpoint that all stories share.
func path(ts *testscript.TestScript, p string) string { return "/" + botOf(ts) + p }

func want(ts *testscript.TestScript, neg bool, args []string, n int) {
	if neg || len(args) < n {
		ts.Fatalf("wrong use: see TestScripts")
	}
}

func (s *scripts) send(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 3)
	id, header := uuid.NewString(), nats.Header{}
	for _, option := range args[3:] {
		name, value, _ := strings.Cut(option, "=")
		switch name {
		case "id":
			id = value
		case "useful":
			header.Set(bus.HeaderTTL, value)
		case "traceparent":
			header.Set("traceparent", value)
		default:
			ts.Fatalf("unknown option %s", option)
		}
	}
	ts.Check(s.engine.send(botOf(ts), args[0], id, "hookturn."+args[1], strings.TrimSpace(ts.ReadFile(args[2])), header))
}

func (s *scripts) raw(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2)
	_, err := s.engine.js.Publish(contextOf(ts), "hookturn.events.default."+botOf(ts)+"."+args[0], []byte(ts.ReadFile(args[1])))
	ts.Check(err)
}

func (s *scripts) replies(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 3)
	read := ts.Value(readKey{}).(map[string]int)
	n := read[args[0]]
	read[args[0]]++
	if err := s.engine.await(func() bool { return len(s.engine.of(botOf(ts), args[0])) > n }); err != nil {
		ts.Fatalf("reply %d of %s: %v", n+1, args[0], err)
	}
	reply := s.engine.of(botOf(ts), args[0])[n]
	if reply.Type != "hookturn."+args[1] {
		ts.Fatalf("reply %d of %s is a %s: %s", n+1, args[0], reply.Type, reply.Data)
	}
	holds(ts, reply.Data, ts.ReadFile(args[2]))
}

func (s *scripts) called(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2)
	if n := len(s.samples.Ledger().ByPath(path(ts, args[0]))); strconv.Itoa(n) != args[1] {
		ts.Fatalf("%s was called %d times, not %s", args[0], n, args[1])
	}
}

func (s *scripts) entry(ts *testscript.TestScript, p, n string) endpoint.Entry {
	i, err := strconv.Atoi(n)
	ts.Check(err)
	entries := s.samples.Ledger().ByPath(path(ts, p))
	if i < 1 || i > len(entries) {
		ts.Fatalf("%s was called %d times", p, len(entries))
	}
	return entries[i-1]
}

func (s *scripts) request(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 3)
	holds(ts, s.entry(ts, args[0], args[1]).Body, ts.ReadFile(args[2]))
}

func (s *scripts) requestHeader(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 4)
	if got := s.entry(ts, args[0], args[1]).Header.Get(args[2]); got != args[3] {
		ts.Fatalf("header %s is %q", args[2], got)
	}
}

func (s *scripts) requested(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2)
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	timeout := time.Now().Add(patience)
	for len(s.samples.Ledger().ByPath(path(ts, args[0]))) < n {
		if time.Now().After(timeout) {
			ts.Fatalf("%s was not called %d times within %s", args[0], n, patience)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (s *scripts) signed(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 4)
	scheme, err := signature.Parse(args[2])
	ts.Check(err)
	e := s.entry(ts, args[0], args[1])
	ts.Check(signature.Verify(e.Header, scheme, []secret.Value{secret.New(args[3])}, time.Now(), e.Body))
}

func (s *scripts) callback(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 4)
	address := s.entry(ts, args[0], args[1]).Header.Get("Hookturn-Callback")
	request, err := http.NewRequestWithContext(contextOf(ts), http.MethodPost, address, strings.NewReader(ts.ReadFile(args[2])))
	ts.Check(err)
	request.Header.Set("Content-Type", "application/json")
	status, _, body, err := send(request)
	ts.Check(err)
	if strconv.Itoa(status) != args[3] {
		ts.Fatalf("the callback was answered %d: %s", status, body)
	}
}

func (s *scripts) askGateway(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 4)
	body := ""
	if args[3] != "-" {
		body = strings.ReplaceAll(ts.ReadFile(args[3]), "$BOT", botOf(ts))
	}
	request, err := http.NewRequestWithContext(contextOf(ts), args[0], s.gateway+args[1], strings.NewReader(body))
	ts.Check(err)
	for _, header := range args[4:] {
		name, value, _ := strings.Cut(header, ":")
		request.Header.Set(name, strings.TrimSpace(value))
	}
	status, header, text, err := send(request)
	ts.Check(err)
	last := ts.Value(answerKey{}).(*answer)
	last.header, last.body = header, []byte(text)
	if strconv.Itoa(status) != args[2] {
		ts.Fatalf("the gateway answered %d: %s", status, text)
	}
}

func (s *scripts) answered(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 1)
	holds(ts, ts.Value(answerKey{}).(*answer).body, ts.ReadFile(args[0]))
}

func (s *scripts) answeredText(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2)
	last := ts.Value(answerKey{}).(*answer)
	if got := last.header.Get("Content-Type"); got != args[0] {
		ts.Fatalf("the Content-Type is %q", got)
	}
	if text := strings.TrimSuffix(ts.ReadFile(args[1]), "\n"); string(last.body) != text {
		ts.Fatalf("the body is %q", last.body)
	}
}

func (s *scripts) deadLetter(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2)
	ts.Check(awaitDeadLetter(s.engine.operator, botOf(ts), args[0], []byte(ts.ReadFile(args[1]))))
}

// holds fails when want is not contained in got: objects by member, everything else as it is.
func holds(ts *testscript.TestScript, got []byte, wanted string) {
	var g, w any
	ts.Check(json.Unmarshal(got, &g))
	ts.Check(json.Unmarshal([]byte(wanted), &w))
	if where := differs(g, w, ""); where != "" {
		ts.Fatalf("%s\nin %s", where, got)
	}
}

func differs(got, want any, at string) string {
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s: want an object", at)
		}
		for name, value := range want {
			if where := differs(object[name], value, at+"/"+name); where != "" {
				return where
			}
		}
		return ""
	case []any:
		array, ok := got.([]any)
		if !ok || len(array) != len(want) {
			return fmt.Sprintf("%s: want an array of %d", at, len(want))
		}
		for i := range want {
			if where := differs(array[i], want[i], fmt.Sprintf("%s/%d", at, i)); where != "" {
				return where
			}
		}
		return ""
	}
	if got != want {
		return fmt.Sprintf("%s: want %v, got %v", at, want, got)
	}
	return ""
}
