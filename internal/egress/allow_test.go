package egress

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
)

func TestParseEntry(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"erp.corp":              "erp.corp  0",
		"ERP.corp:8080":         "erp.corp  8080",
		"my_service":            "my_service  0",
		"10.1.0.0/16":           " 10.1.0.0/16 0",
		"10.1.0.0/16:8080":      " 10.1.0.0/16 8080",
		"10.1.2.3":              " 10.1.2.3/32 0",
		"10.1.2.3:443":          " 10.1.2.3/32 443",
		"::1":                   " ::1/128 0",
		"[::1]":                 " ::1/128 0",
		"[::1]:443":             " ::1/128 443",
		"fd00::/8":              " fd00::/8 0",
		"fd00::/8:443":          " fd00::/8 443",
		"[fd00::/8]:443":        " fd00::/8 443",
		"::ffff:10.0.0.1":       " 10.0.0.1/32 0",
		"xn--bcher-kva.example": "xn--bcher-kva.example  0",
	} {
		e, err := parseEntry(text)
		require.NoError(t, err, text)
		require.Equal(t, want, strings.Join([]string{e.host, prefixText(e), portText(e)}, " "), text)
	}
	for _, bad := range []string{
		"", ":80", "*.corp", "https://erp.corp", "erp.corp/path", "erp.corp:0", "erp.corp:99999", "erp.corp:http", "erp.corp:",
		"10.1.2.3/8", "10.1.0.0/33", "[::1", "[::1]443", "::1%lo", "[fe80::1%lo]:80", "::ffff:10.0.0.0/104", "127.1", "bücher.example",
		"erp corp", "a..b", "user@erp.corp", "erp.corp.",
	} {
		_, err := New(Options{Allow: []string{"fine.example", bad}})
		require.ErrorContains(t, err, "allow entry "+quote(bad))
	}
	_, err := New(Options{Deny: []string{"10.0.0.1/8"}})
	require.ErrorContains(t, err, `deny entry "10.0.0.1/8"`)
}

func TestAllow_Entries(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) })
	port := s.URL[strings.LastIndexByte(s.URL, ':'):]
	lookup := resolver(t, names(map[string]string{"erp.example.com": "127.0.0.1", "meta.example.com": "169.254.169.254"}))
	for _, c := range []struct {
		name, allow, host string
		want              fault.Kind // "" = reached
	}{
		{"host", "erp.example.com", "erp.example.com", ""},
		{"host, other case", "ERP.example.com", "erp.Example.COM", ""},
		{"host and port", "erp.example.com" + port, "erp.example.com", ""},
		{"host and other port", "erp.example.com:1", "erp.example.com", fault.Blocked},
		{"other host", "www.example.com", "erp.example.com", fault.Blocked},
		{"host does not match as a suffix", "example.com", "erp.example.com", fault.Blocked},
		{"host does not allow its address", "erp.example.com", "127.0.0.1", fault.Blocked},
		{"host that leads to metadata", "meta.example.com", "meta.example.com", fault.Blocked},
		{"address", "127.0.0.1", "127.0.0.1", ""},
		{"address, mapped", "127.0.0.1", "[::ffff:127.0.0.1]", ""},
		{"address and port", "127.0.0.1" + port, "127.0.0.1", ""},
		{"address and other port", "127.0.0.1:1", "127.0.0.1", fault.Blocked},
		{"range", "127.0.0.0/8", "127.0.0.1", ""},
		{"range and port", "127.0.0.0/8" + port, "127.0.0.1", ""},
		{"range and other port", "127.0.0.0/8:1", "127.0.0.1", fault.Blocked},
		{"name that leads into a range", "127.0.0.0/8", "erp.example.com", ""},
		{"name that leads into a range, other port", "127.0.0.0/8:1", "erp.example.com", fault.Blocked},
		{"name that leads beside a range", "127.0.1.0/24", "erp.example.com", fault.Blocked},
		{"name that leads to metadata in a range", "0.0.0.0/0", "meta.example.com", fault.Blocked},
		{"metadata in a range", "169.254.0.0/16", "169.254.169.254", fault.Blocked},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			client := newClient(t, Options{Allow: []string{c.allow}, AllowPlainHTTP: true, Resolver: lookup})
			resp, a, err := call(t, client, "http://"+c.host+port+"/path")
			if c.want != "" {
				requireFault(t, c.want, err, a)
				return
			}
			require.NoError(t, err)
			require.Equal(t, "ok", string(resp.Body))
		})
	}
}

func TestPolicy_ClassesDoNotShareConnections(t *testing.T) {
	t.Parallel()
	c := newClient(t, Options{Allow: []string{"a.example", "b.example", "10.0.0.0/8"}})
	require.Len(t, c.transports, 4)
	for i, url := range []string{"https://public.example", "https://a.example", "https://b.example", "https://10.1.1.1"} {
		target, f := c.policy.target(url)
		require.Nil(t, f)
		require.Equal(t, i, target.class, url)
	}
}

func TestAllow_LoopbackForADevelopmentStack(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {})
	port := s.URL[strings.LastIndexByte(s.URL, ':'):]
	c := newClient(t, devstack())
	for _, host := range []string{"127.0.0.1", "localhost"} {
		_, _, err := call(t, c, "http://"+host+port)
		require.NoError(t, err, host)
	}
}

func prefixText(e entry) string {
	if e.host != "" {
		return ""
	}
	return e.prefix.String()
}

func portText(e entry) string { return strings.TrimPrefix(place{port: e.port}.String(), ":") }

func quote(s string) string { return `"` + s + `"` }
