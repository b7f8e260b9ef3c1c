package egress

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/hookturn/hookturn/internal/fault"
)

// MaxURL is the longest URL that is called, in bytes.
const MaxURL = 2048

// CheckURL says whether a URL can be called under a policy, as far as that can be known without resolving its host: use it
// when configuration is loaded. The error is a *fault.Fault: config for a URL that is none, blocked for one that the policy
// refuses. Its message never holds the URL's path, query or user info.
//
// It reads the options anew each time. Where there is a Client, its method CheckURL does not.
func CheckURL(raw string, o Options) error {
	p, err := newPolicy(o.withDefaults())
	if err != nil {
		return fault.Wrap(fault.Config, err, "the egress options are wrong: see the log")
	}
	return p.check(raw)
}

// CheckURL is the function of that name under the client's own policy.
func (c *Client) CheckURL(raw string) error { return c.policy.check(raw) }

func (p *policy) check(raw string) error {
	if _, f := p.target(raw); f != nil {
		return f
	}
	return nil
}

// target is a URL that has been judged.
type target struct {
	url *url.URL
	place
	class int
}

// shown is the URL as it may be stored: without query and user info.
func (t *target) shown() string { return t.url.Scheme + "://" + t.url.Host + t.url.EscapedPath() }

// unreadable stands in attempt records for a URL that could not be parsed: any part of it could be a secret.
const unreadable = "(not a URL)"

// target reads and judges a URL. A URL that can be read but is refused gives both a target, for the record, and a fault.
func (p *policy) target(raw string) (*target, *fault.Fault) {
	u, f := parseURL(raw)
	if f != nil {
		return nil, f
	}
	l, f := placeOf(u)
	if f != nil {
		return nil, f
	}
	t := &target{url: u, place: l}
	if t.class, f = p.class(l); f != nil {
		return t, f
	}
	if u.Scheme == "http" && !p.plainHTTP && t.class == 0 {
		return t, fault.New(fault.Blocked, "plain http to host %s is refused: use https, or let the operator list the host: "+
			"--egress-allow %s", l.host, l)
	}
	return t, nil
}

// parseURL takes absolute http and https URLs that mean the same to everybody who reads them. The parser's own errors quote
// the URL, so none is passed on.
func parseURL(raw string) (*url.URL, *fault.Fault) {
	bad := func(why string) (*url.URL, *fault.Fault) { return nil, fault.New(fault.Config, "bad URL: %s", why) }
	if len(raw) > MaxURL {
		return bad("longer than " + strconv.Itoa(MaxURL) + " bytes")
	}
	if !utf8.ValidString(raw) || strings.ContainsFunc(raw, unicode.IsControl) {
		return bad("it holds control characters or invalid UTF-8")
	}
	if strings.Contains(raw, "#") {
		return bad("it has a fragment (#), which is never sent: leave it out")
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return bad("it cannot be read; check scheme, host, port and percent signs")
	case u.Scheme != "http" && u.Scheme != "https" || u.Opaque != "":
		return bad("it must begin with https:// (or http://)")
	case u.User != nil:
		return bad("it holds a user name or password: use the authorization header instead")
	case u.Hostname() == "":
		return bad("it has no host")
	}
	u.Host = strings.ToLower(u.Host)
	return u, nil
}

func placeOf(u *url.URL) (place, *fault.Fault) {
	l := place{host: u.Hostname(), port: 443}
	if u.Scheme == "http" {
		l.port = 80
	}
	if digits := u.Port(); digits != "" || strings.HasSuffix(u.Host, ":") {
		n, err := strconv.ParseUint(digits, 10, 16)
		if err != nil || n == 0 {
			return l, fault.New(fault.Config, "bad URL: the port must be a number from 1 to 65535, or left out")
		}
		l.port = uint16(n)
	}
	if addr, err := netip.ParseAddr(l.host); err == nil {
		if addr.Zone() != "" {
			return l, fault.New(fault.Config, "bad URL: an address must not have a zone")
		}
		l.addr = addr.Unmap()
		return l, nil
	}
	if why := badHost(l.host); why != "" {
		return l, fault.New(fault.Config, "bad URL: %s", why)
	}
	return l, nil
}

// hostProfile is the IDNA of look-ups without the letters-digits-hyphen rule: names of internal machines hold underscores.
var hostProfile = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(false), idna.VerifyDNSLength(true))

// badHost says what is wrong with a lower-case host name, "" when nothing is. A name must be in the form that is looked up:
// IDNA turns "①②⑦.⓪.⓪.①" into 127.0.0.1, and a reader of a bot file should see where a request goes.
func badHost(host string) string {
	normal, err := hostProfile.ToASCII(host)
	switch {
	case err != nil:
		return "the host is not a domain name"
	case strings.ContainsFunc(normal, notInHost):
		return "the host holds characters that no host name has"
	case normal != host:
		return "write the host in its normal form: " + normal
	case numeric(host[strings.LastIndexByte(host, '.')+1:]):
		return "the host looks like an unusual spelling of an address: write four decimal numbers"
	}
	return ""
}

func notInHost(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
}

// numeric is true for a last label that the old inet_aton forms allow: 127.1, 2130706433, 0x7f000001. No top-level domain
// looks like that.
func numeric(label string) bool {
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}
