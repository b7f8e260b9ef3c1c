package bot

import (
	"errors"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// hostMax is more than a domain name of 253 bytes (RFC 1035) has in Unicode, in bytes. The time for converting a name grows
// with the square of its length.
const hostMax = 1024

var hasScheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:`)

// parseAbsolute checks a whole URL. No error repeats it: a query may hold a token.
func parseAbsolute(text string, allowPlainHTTP bool) (*url.URL, error) {
	u, err := url.Parse(text)
	if err == nil {
		if err := checkHost(u.Hostname()); err != nil {
			return nil, err
		}
	}
	if err := checkText(text); err != nil {
		return nil, err
	}
	if err != nil {
		return nil, errors.New("is not a valid URL")
	}
	switch {
	case u.Scheme == "http" && !allowPlainHTTP:
		return nil, errors.New("must begin with https://: plain http is not allowed here")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("must be an absolute URL that begins with https://")
	case u.Hostname() == "":
		return nil, errors.New("has no host")
	case u.User != nil:
		return nil, errors.New("must not hold a user name or password: use authorization")
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return nil, errors.New("has an invalid port: want a number from 1 to 65535")
		}
	}
	return u, checkSegments(u)
}

// checkHost rejects international domain names in their Unicode form: percent-encoding, which is right for the rest of a
// URL, is wrong for a host.
func checkHost(host string) error {
	if strings.IndexFunc(host, func(r rune) bool { return r >= utf8.RuneSelf }) < 0 {
		return nil
	}
	if len(host) > hostMax {
		return errors.New("has a host that is not a domain name")
	}
	ascii, err := idna.Lookup.ToASCII(host)
	if err != nil {
		return errors.New("has a host that is not a domain name")
	}
	return errors.New("has a host outside of ASCII: write its IDNA form, " + ascii)
}

// parseBase checks a base URL: an absolute one to which a path can be joined.
func parseBase(text string, allowPlainHTTP bool) (*url.URL, error) {
	u, err := parseAbsolute(text, allowPlainHTTP)
	if err == nil && (u.RawQuery != "" || u.ForceQuery) {
		err = errors.New("must not have a query: put it into the path of the steps")
	}
	return u, err
}

// checkPath checks the path of a step: what is joined to a base URL, with its query.
func checkPath(text string) error {
	if text == "" {
		return errors.New(`is empty: write "/" for the base URL itself`)
	}
	if hasScheme.MatchString(text) {
		return errors.New("is joined to the base URL: use url for an absolute URL")
	}
	if err := checkText(text); err != nil {
		return err
	}
	u, err := url.Parse("https://base/" + strings.TrimLeft(text, "/"))
	if err != nil {
		return errors.New("is not a valid path")
	}
	return checkSegments(u)
}

// Join joins a base URL and a path that a script made, by the rules for the paths of steps.
func Join(base, path string) (string, error) {
	if path == "" {
		return base, nil
	}
	if err := checkPath(path); err != nil {
		return "", err
	}
	return joinURL(base, path), nil
}

// joinURL joins base and path, both checked, with exactly one slash.
func joinURL(base, path string) string {
	return strings.TrimRight(base, "/") + "/" + strings.TrimLeft(path, "/")
}

// checkText refuses what clients and servers read in different ways.
func checkText(text string) error {
	for _, c := range []byte(text) {
		switch {
		case c <= ' ', c >= 0x7f:
			return errors.New("must be printable ASCII without spaces: percent-encode the rest")
		case c == '\\':
			return errors.New("must not hold a backslash")
		case c == '#':
			return errors.New("must not have a fragment")
		}
	}
	return nil
}

// checkSegments refuses .. segments, also percent-encoded ones: they would leave the base URL.
func checkSegments(u *url.URL) error {
	for segment := range strings.SplitSeq(u.Path, "/") {
		if segment == ".." {
			return errors.New("must not hold .. segments")
		}
	}
	return nil
}
