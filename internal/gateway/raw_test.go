package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/socket"
	"github.com/hookturn/hookturn/schemas"
)

// mute is a bus that delivers no messages.
type mute struct{}

func (mute) Notices(schemas.BotID, string, func(string, []byte)) (func(), error) {
	return func() {}, nil
}
func (mute) Subscribed(context.Context) error                    { return nil }
func (mute) Claim(context.Context, string, string) (bool, error) { return true, nil }
func (mute) Respond(string, func([]byte) []byte) (stop func(context.Context), err error) {
	return func(context.Context) {}, nil
}

// listen starts a gateway whose timeouts are short.
func listen(t *testing.T, change ...func(*Options)) (*testGateway, *Server) {
	t.Helper()
	d := newTestGateway(t)
	d.Log = slog.New(slog.DiscardHandler)
	d.runs.script = returns(`{"body":"ok"}`)
	d.Sockets = &socket.Hub{Scripts: d.Scripts, Bus: mute{}, Claims: mute{}, Log: d.Log, Count: d.Metrics}
	require.NoError(t, d.Sockets.Start())
	for _, f := range change {
		f(&d.Options)
	}
	s, err := Start("127.0.0.1:0", d.Options)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Stop(ctx) // a client that holds its connection is cut off
	})
	return d, s
}

// TestGateway_WhatCannotBeSaidInHTTP writes bytes that no client library would. Every one is answered with a refusal or hung up on:
// never with a 5xx, never with nothing.
func TestGateway_WhatCannotBeSaidInHTTP(t *testing.T) {
	t.Parallel()
	_, s := listen(t)
	head := "POST /exec HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + tokenOfFiles + "\r\n"
	for name, c := range map[string]struct {
		text   string
		status []int // 0 = the connection is closed without a word
	}{
		"no protocol":            {"hello\r\n\r\n", []int{400}},
		"TLS":                    {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", []int{400, 0}},
		"HTTP/2 preface":         {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{400, 404, 405, 505, 0}},
		"no host":                {"GET /exec HTTP/1.1\r\n\r\n", []int{400}},
		"two hosts":              {"GET /exec HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", []int{400}},
		"header without colon":   {"GET /exec HTTP/1.1\r\nHost: h\r\nbroken\r\n\r\n", []int{400}},
		"header with space":      {"GET /exec HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n", []int{400}},
		"folded header":          {"GET /exec HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n", []int{400, 401}},
		"NUL in header":          {"GET /exec HTTP/1.1\r\nHost: h\r\nA: \x00\r\n\r\n", []int{400}},
		"headers too large":      {"GET /exec HTTP/1.1\r\nHost: h\r\nA: " + strings.Repeat("a", 64<<10) + "\r\n\r\n", []int{431}},
		"many headers":           {"GET /exec HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("A: b\r\n", 10_000) + "\r\n", []int{431}},
		"length twice":           {head + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", []int{400}},
		"length negative":        {head + "Content-Length: -1\r\n\r\n", []int{400}},
		"length and chunks":      {head + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []int{200, 400}},
		"unknown encoding":       {head + "Transfer-Encoding: gzip\r\n\r\n", []int{400, 501}},
		"chunk size no number":   {head + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n", []int{400}},
		"chunk size huge":        {head + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n\r\n", []int{400}},
		"chunk extension":        {head + "Transfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("a", 8<<10) + "\r\na\r\n0\r\n\r\n", []int{400}},
		"chunk without its end":  {head + "Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n", []int{400}},
		"too large, with length": {head + "Content-Length: 1048577\r\n\r\n" + strings.Repeat("a", 1<<20+1), []int{413}},
		"too large, in chunks":   {head + "Transfer-Encoding: chunked\r\n\r\n100001\r\n" + strings.Repeat("a", 1<<20+1) + "\r\n0\r\n\r\n", []int{413}},
		"body of half":           {head + "Content-Length: 10\r\n\r\nabc", []int{400}},
		"path with dots":         {"GET /files/../exec HTTP/1.1\r\nHost: h\r\n\r\n", []int{301, 307, 401, 404}},
		"absolute path":          {"GET http://evil.example/exec HTTP/1.1\r\nHost: h\r\n\r\n", []int{401}},
		"method no word":         {"G@T /exec HTTP/1.1\r\nHost: h\r\n\r\n", []int{400}},
		"method unknown":         {"BREW /exec HTTP/1.1\r\nHost: h\r\n\r\n", []int{405}},
		"connect":                {"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n", []int{404, 405}},
		"websocket, no key":      {"GET /ws/token/v1/" + tokenOfHook + " HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", []int{400, 426}},
		"websocket, version 7":   {"GET /ws/token/v1/" + tokenOfHook + " HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 7\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", []int{400, 426}},
		"websocket, no upgrade":  {"GET /ws/token/v1/" + tokenOfHook + " HTTP/1.1\r\nHost: h\r\n\r\n", []int{426}},
		"websocket, posted":      {"POST /ws/token/v1/" + tokenOfHook + " HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", []int{405}},
		"websocket, wrong token": {"GET /ws/token/v1/wrong HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", []int{401}},
		"websocket, other origin": {"GET /ws/token/v1/" + tokenOfHook + " HTTP/1.1\r\nHost: h\r\nOrigin: https://evil.example\r\nConnection: Upgrade\r\n" +
			"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", []int{403}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", s.Addr())
			require.NoError(t, err)
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(soon)))
			go func() {
				_, _ = io.WriteString(conn, c.text)
				_ = conn.(*net.TCPConn).CloseWrite()
			}()
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				require.Contains(t, c.status, 0, "hung up on: %v", err)
				return
			}
			defer answer.Body.Close()
			body, _ := io.ReadAll(answer.Body)
			require.Contains(t, c.status, answer.StatusCode, "%s", body)
			require.Less(t, answer.StatusCode, 502)
		})
	}
}

// TestGateway_SilentClientIsHungUpOn opens connections that say nothing, or too little, and waits for the end of them.
func TestGateway_SilentClientIsHungUpOn(t *testing.T) {
	t.Parallel()
	_, s := listen(t)
	for name, text := range map[string]string{
		"nothing": "", "half a line": "POST /ex", "half of the headers": "POST /exec HTTP/1.1\r\nHost: h\r\nA: ",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", s.Addr())
			require.NoError(t, err)
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(soon)))
			_, err = io.WriteString(conn, text)
			require.NoError(t, err)
			_, err = io.ReadAll(conn)
			require.NoError(t, err, "the gateway ends it before the test's patience does")
		})
	}
}

// TestGateway_SlowBodyIsHungUpOn sends a body a byte at a time, with a length and in chunks.
func TestGateway_SlowBodyIsHungUpOn(t *testing.T) {
	t.Parallel()
	_, s := listen(t, func(o *Options) { o.BodyTimeout = 300 * time.Millisecond })
	for name, head := range map[string]string{
		"with a length": "Content-Length: 100000\r\n\r\n", "in chunks": "Transfer-Encoding: chunked\r\n\r\n186a0\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", s.Addr())
			require.NoError(t, err)
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(soon)))
			stop := make(chan struct{})
			defer close(stop)
			go func() {
				_, err := io.WriteString(conn, "POST /exec HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer "+tokenOfHook+"\r\n"+head)
				for err == nil {
					select {
					case <-time.After(20 * time.Millisecond):
						_, err = io.WriteString(conn, "a")
					case <-stop:
						return
					}
				}
			}()
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			require.Equal(t, http.StatusRequestTimeout, answer.StatusCode)
			require.NoError(t, answer.Body.Close())
		})
	}
}

func TestGateway_PagesOfOtherOrigins(t *testing.T) {
	t.Parallel()
	for origin, c := range map[string]struct {
		allowed []string
		want    bool
	}{
		"":                        {nil, true},
		"http://hooks.example":    {nil, true},
		"https://app.example":     {[]string{"https://app.example"}, true},
		"https://evil.example":    {[]string{"https://app.example"}, false},
		"https://app.example.com": {[]string{"https://app.example"}, false},
		"https://any.example":     {[]string{"*"}, true},
		"null":                    {nil, false},
		"%":                       {nil, false},
	} {
		r, err := http.NewRequest(http.MethodGet, "http://hooks.example/ws/token/v1", nil)
		require.NoError(t, err)
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		require.Equal(t, c.want, Options{Origins: c.allowed}.welcomes(r), fmt.Sprint(origin, c.allowed))
	}
}
