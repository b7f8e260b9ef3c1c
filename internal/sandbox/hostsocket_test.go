package sandbox

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
)

// outside is a way out to a test's own servers, whatever a script asks for, and the audit of it.
func outside(t *testing.T, servers map[string]*httptest.Server) (func(*Options), *lockedBuffer) {
	t.Helper()
	log := &lockedBuffer{}
	return func(o *Options) {
		o.CheckURL = func(string) error { return nil }
		o.Log = slog.New(slog.NewTextHandler(log, nil))
		o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			s, known := servers[address]
			if !known {
				return nil, fault.New(fault.Blocked, "the address is not on the public internet")
			}
			var d net.Dialer
			return d.DialContext(ctx, network, s.Listener.Addr().String())
		}
	}, log
}

type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestProxy_Policy(t *testing.T) {
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %d", r.Host, r.Method, len(body))
	}))
	defer secure.Close()
	secure.TLS.MinVersion = tls.VersionTLS12
	open := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/endless" {
			for {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}
		fmt.Fprintf(w, "plain %s %q", r.URL.Path, r.Header.Get("Proxy-Authorization"))
	}))
	defer open.Close()
	dial, log := outside(t, map[string]*httptest.Server{"shop.example:443": secure, "shop.example:80": open})
	s := newSandbox(t, dial)
	ask := func(script string) (string, *fault.Fault, string) {
		r, f := s.Run(t.Context(), job("import json, requests, ssl, urllib.request\nrequests.packages.urllib3.disable_warnings()\ndef main(e, c):\n    "+script))
		return string(r.Value), f, r.Log
	}
	for script, want := range map[string]string{
		`return requests.post("https://shop.example/x", data=b"abc", verify=False).text`:                                    `"shop.example POST 3"`,
		`return urllib.request.urlopen("https://shop.example/x", context=ssl._create_unverified_context()).read().decode()`: `"shop.example GET 0"`,
		`return requests.get("http://shop.example/y", headers={"Proxy-Authorization": "x"}).text`:                           `"plain /y \"\""`,
		`return [requests.get("https://shop.example/", verify=False).status_code for _ in range(15)][-1]`:                   `200`,
		`return requests.get("http://10.0.0.1/").status_code`:                                                               `403`,
		`return requests.get("http://169.254.169.254/latest/meta-data/").status_code`:                                       `403`,
	} {
		value, f, text := ask(script)
		require.Nil(t, f, text)
		require.Equal(t, want, value)
	}
	for _, spelling := range []string{
		"metadata.google.internal", "169.254.169.254", "0xa9fea9fe", "2852039166", "[::ffff:169.254.169.254]", "[fd00:ec2::254]",
		"10.0.0.1", "127.0.0.1", "localhost", "0", "0.0.0.0", "[::1]", "127.1",
	} {
		_, f, text := ask(fmt.Sprintf(`return requests.get("https://%s/", verify=False, timeout=5).status_code`, spelling))
		require.NotNil(t, f, spelling)
		require.Equal(t, fault.ScriptException, f.Kind, text)
	}
	_, f, _ := ask(`return [requests.get("https://shop.example/", verify=False).status_code for _ in range(25)]`)
	require.Equal(t, fault.ScriptException, f.Kind, "more connections than a run may make")
	value, f, text := ask("import time\n    r = requests.get('http://shop.example/endless', stream=True)\n    n = 0\n    try:\n" +
		"        for part in r.iter_content(65536): n += len(part)\n    except requests.RequestException: pass\n    return n")
	require.Nil(t, f, text)
	var n int
	require.NoError(t, json.Unmarshal([]byte(value), &n))
	require.LessOrEqual(t, n, bytesMax, "a run's share is used up")
	require.Greater(t, n, bytesMax/2)

	require.Contains(t, log.String(), `msg="script connection closed" tenant=acme bot=shop step=ORDER event=e1 host=shop.example:443`)
	require.Contains(t, log.String(), `msg="script connection denied" tenant=acme bot=shop step=ORDER event=e1 host=169.254.169.254:443 kind=blocked`)
}
