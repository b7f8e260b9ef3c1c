package egress

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
)

func TestCheckURL(t *testing.T) {
	t.Parallel()
	plain := Options{AllowPlainHTTP: true}
	for _, c := range []struct {
		url  string
		o    Options
		want fault.Kind // "" = good
	}{
		{"https://example.com", Options{}, ""},
		{"https://example.com/a/b?c=d&e=%0A", Options{}, ""},
		{"HTTPS://Example.COM:8443/", Options{}, ""},
		{"https://8.8.8.8/", Options{}, ""},
		{"https://[2606:4700:4700::1111]/", Options{}, ""},
		{"https://xn--bcher-kva.example/", Options{}, ""},
		{"https://my_host.example/", Options{}, ""},
		{"https://example.com:80/", Options{}, ""},
		{"http://example.com/", plain, ""},
		{"http://example.com/", Options{}, fault.Blocked},
		{"https://example.com:8080/", Options{}, fault.Blocked},
		{"https://example.com:22/", Options{}, fault.Blocked},
		{"https://example.com:8080/", Options{Ports: []uint16{8080}}, ""},
		{"https://example.com:8080/", Options{Allow: []string{"example.com:8080"}}, ""},
		{"https://127.0.0.1/", Options{}, fault.Blocked},
		{"https://127.0.0.1:5000/", Options{AllowLoopback: true}, ""},
		{"https://10.0.0.1/", Options{Allow: []string{"10.0.0.0/8"}}, ""},
		{"", Options{}, fault.Config},
		{"example.com", Options{}, fault.Config},
		{"/path", Options{}, fault.Config},
		{"//example.com/", Options{}, fault.Config},
		{"https:example.com", Options{}, fault.Config},
		{"https://", Options{}, fault.Config},
		{"https://:443/", Options{}, fault.Config},
		{"ftp://example.com/", plain, fault.Config},
		{"file:///etc/passwd", plain, fault.Config},
		{"https://s3cret@example.com/", Options{}, fault.Config},
		{"https://user:s3cret@example.com/", Options{}, fault.Config},
		{"https://@example.com/", Options{}, fault.Config},
		{"https://example.com/#s3cret", Options{}, fault.Config},
		{"https://example.com/#", Options{}, fault.Config},
		{"https://example.com:/", Options{}, fault.Config},
		{"https://example.com:0/", Options{}, fault.Config},
		{"https://example.com:65536/", Options{}, fault.Config},
		{"https://example.com:s3cret/", Options{}, fault.Config},
		{"https://exa mple.com/", Options{}, fault.Config},
		{"https://example.com/\r\nX: s3cret", Options{}, fault.Config},
		{"https://example.com/\x00", Options{}, fault.Config},
		{"https://example.com/\u0085", Options{}, fault.Config},
		{"https://example.com/\xff", Options{}, fault.Config},
		{"https://example.com/%zz", Options{}, fault.Config},
		{`https://example.com\@s3cret.example/`, Options{}, fault.Config},
		{"https://example.com./", Options{}, fault.Config},
		{"https://a..example.com/", Options{}, fault.Config},
		{"https://bücher.example/", Options{}, fault.Config},
		{"https://xn--a.example/", Options{}, fault.Config},
		{"https://" + strings.Repeat("a", 64) + ".example/", Options{}, fault.Config},
		{"https://example.com/" + strings.Repeat("a", MaxURL), Options{}, fault.Config},
		{"https://[fe80::1%25eth0]/", Options{}, fault.Config},
		{"https://[::1/", Options{}, fault.Config},
		{"https://example.com/", Options{Allow: []string{"*"}}, fault.Config},
	} {
		err := CheckURL(c.url, c.o)
		if c.want == "" {
			require.NoError(t, err, c.url)
			continue
		}
		var f *fault.Fault
		require.ErrorAs(t, err, &f, "%q", c.url)
		require.Equal(t, c.want, f.Kind, "%q", c.url)
		require.NotContains(t, f.Error(), "s3cret")
	}
	require.ErrorContains(t, CheckURL("https://bücher.example/", Options{}), "xn--bcher-kva.example")

	c := newClient(t, Options{})
	require.NoError(t, c.CheckURL("https://example.com"))
	require.Error(t, c.CheckURL("http://example.com"))
}

func TestURL_ShownURLHoldsNoSecret(t *testing.T) {
	t.Parallel()
	c := newClient(t, Options{})
	for url, want := range map[string]string{
		"https://127.0.0.1/a%20b?token=s3cret":         "https://127.0.0.1/a%20b",
		"https://Example.com:22/x?s3cret":              "https://example.com:22/x",
		"https://user:s3cret@example.com/":             unreadable,
		"https://example.com/#s3cret":                  unreadable,
		"https://example.com:s3cret/":                  unreadable,
		"https://exam ple.com/" + "?s3cret" + "\u0000": unreadable,
	} {
		_, a, err := call(t, c, url)
		require.Error(t, err)
		require.Equal(t, want, a.URL)
	}
}

// TestEntryOf_AllowsThatHostAlone checks the entry of a URL's host and port as an operator would write it.
func TestEntryOf_AllowsThatHostAlone(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"http://127.0.0.1:8090/orders?x=1": "127.0.0.1:8090",
		"https://Shop.example/":            "shop.example:443",
		"http://[fd00::1]/":                "[fd00::1]:80",
	} {
		entry, err := EntryOf(raw)
		require.NoError(t, err)
		require.Equal(t, want, entry)
		require.NoError(t, CheckURL(raw, Options{Allow: []string{entry}}), raw)
	}
	require.Error(t, CheckURL("http://127.0.0.1:8091/", Options{Allow: []string{"127.0.0.1:8090"}}))
	for _, raw := range []string{"shop.example", "https://bücher.example"} {
		_, err := EntryOf(raw)
		require.Equal(t, fault.Config, fault.Of(err).Kind, raw)
	}
}
