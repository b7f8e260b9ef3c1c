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

// CheckURL checks a URL against a policy without resolving its host, for use when configuration is loaded. The error is
// a *fault.Fault: config for an invalid URL, blocked for one that the policy denies. Its message never contains the
// URL's path, query or user info.
//
// It parses the options on each call; Client.CheckURL does not.
func CheckURL(raw string, o Options) error {
	p, err := newPolicy(o.withDefaults())
	if err != nil {
		return fault.Wrap(fault.Config, err, "invalid egress options: see the log")
	}
	return p.check(raw)
}

// CheckURL checks a URL against the client's own policy.
func (c *Client) CheckURL(raw string) error { return c.policy.check(raw) }

func (p *policy) check(raw string) error {
	if _, f := p.target(raw); f != nil {
		return f
	}
	return nil
}

// EntryOf returns the entry of Options.Allow that allows the host and port of a URL and nothing else. The error is a
// *fault.Fault of the kind config.
func EntryOf(raw string) (string, error) {
	u, f := parseURL(raw)
	if f != nil {
		return "", f
	}
	l, f := placeOf(u)
	if f != nil {
		return "", f
	}
	return l.String(), nil
}

// target is a URL with its policy class.
type target struct {
	url *url.URL
	place
	class int
}

// shown returns the URL in the form that may be stored: without query and user info.
func (t *target) shown() string { return t.url.Scheme + "://" + t.url.Host + t.url.EscapedPath() }

// unreadable replaces a URL that could not be parsed in attempt records: any part of it could be a secret.
const unreadable = "(not a URL)"

// target parses a URL and checks it. For a valid URL that is denied it returns both a target, for the record, and a fault.
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
		return t, fault.New(fault.Blocked, "plain http to host %s is not allowed: use https, or ask the operator to list it: "+
			"--egress-allow %s", l.host, l)
	}
	return t, nil
}

// parseURL parses absolute http and https URLs without ambiguous parts. The parser's own errors quote the URL, so they are
// not returned.
func parseURL(raw string) (*url.URL, *fault.Fault) {
	bad := func(why string) (*url.URL, *fault.Fault) { return nil, fault.New(fault.Config, "invalid URL: %s", why) }
	if len(raw) > MaxURL {
		return bad("longer than " + strconv.Itoa(MaxURL) + " bytes")
	}
	if !utf8.ValidString(raw) || strings.ContainsFunc(raw, unicode.IsControl) {
		return bad("it contains control characters or invalid UTF-8")
	}
	if strings.Contains(raw, "#") {
		return bad("it has a fragment (#), which is never sent: leave it out")
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return bad("it cannot be parsed: check scheme, host, port and percent signs")
	case u.Scheme != "http" && u.Scheme != "https" || u.Opaque != "":
		return bad("it must begin with https:// (or http://)")
	case u.User != nil:
		return bad("it contains a user name or password: use the authorization header instead")
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
			return l, fault.New(fault.Config, "invalid URL: the port must be a number from 1 to 65535, or left out")
		}
		l.port = uint16(n)
	}
	if addr, err := netip.ParseAddr(l.host); err == nil {
		if addr.Zone() != "" {
			return l, fault.New(fault.Config, "invalid URL: an address must not have a zone")
		}
		l.addr = addr.Unmap()
		return l, nil
	}
	if why := badHost(l.host); why != "" {
		return l, fault.New(fault.Config, "invalid URL: %s", why)
	}
	return l, nil
}

// hostProfile is the IDNA lookup profile without the letters-digits-hyphen rule: names of internal hosts contain
// underscores.
var hostProfile = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(false), idna.VerifyDNSLength(true))

// badHost returns why a lower-case host name is invalid, "" when it is valid. A name must be in the form that is looked up:
// IDNA turns "①②⑦.⓪.⓪.①" into 127.0.0.1, and a bot file must show where a request goes.
func badHost(host string) string {
	normal, err := hostProfile.ToASCII(host)
	switch {
	case err != nil:
		return "the host is not a domain name"
	case strings.ContainsFunc(normal, notInHost):
		return "the host contains characters that are not valid in a host name"
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

// numeric reports whether a last label is in one of the old inet_aton forms: 127.1, 2130706433, 0x7f000001. No top-level
// domain looks like that.
func numeric(label string) bool {
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}
