// Package header is the policy of request headers: which of them a bot file, a script, or hookturn itself may set.
//
// There is one policy for loading a file and for sending a request, so a header that loads can be sent. Three groups are
// kept from bot files; a header of the first group is refused in every request:
//
//	transport   belongs to one connection, or changes how Go's transport sends a request
//	platform    is written by hookturn: another value would forge a signature or break a trace
//	configured  has a key of its own in the bot file, or is the dialect's
//
// No error contains a value: it may be a secret.
package header

import (
	"errors"
	"fmt"
	"net/textproto"
	"strings"

	"golang.org/x/net/http/httpguts"
)

const (
	// NameMax is the longest name, in bytes.
	NameMax = 128
	// ValueMax is the longest value, in bytes: what many servers take for all headers together.
	ValueMax = 8 << 10
)

type group map[string]struct{}

func of(names ...string) group {
	g := make(group, len(names))
	for _, name := range names {
		g[name] = struct{}{}
	}
	return g
}

func (g group) has(name string) bool { _, ok := g[name]; return ok }

var (
	transport = of(
		"Accept-Encoding", "Connection", "Content-Encoding", "Content-Length", "Expect", "Host", "Http2-Settings", "Keep-Alive",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade",
		// With one of these Go's transport repeats a POST without being asked.
		"Idempotency-Key", "X-Idempotency-Key",
	)
	transportPrefixes = []string{"Proxy-"}

	platform         = of("Baggage", "Traceparent", "Tracestate", "X-Hub-Signature", "X-Hub-Signature-256")
	platformPrefixes = []string{"Hookturn-", "Webhook-", "X-B3-"}

	configured = of("Content-Type", "User-Agent")
)

// CheckFile reports why a bot file cannot set a header. It also returns the canonical name.
func CheckFile(name, value string) (canonical string, err error) {
	canonical, err = CheckSent(name, value)
	switch {
	case err != nil:
		return canonical, err
	case canonical == "Authorization":
		return canonical, errors.New("is reserved: use authorization, which keeps its value out of the file")
	case platform.has(canonical), configured.has(canonical):
		return canonical, errors.New("is reserved: hookturn sets it")
	}
	if prefix := prefixOf(canonical, platformPrefixes); prefix != "" {
		return canonical, errors.New("is reserved: hookturn sets the headers that begin with " + prefix)
	}
	return canonical, checkSpaces(value)
}

// CheckSent reports why a header cannot be sent at all, whoever sets it. It also returns the canonical name.
func CheckSent(name, value string) (canonical string, err error) {
	if !httpguts.ValidHeaderFieldName(name) || len(name) > NameMax {
		return "", errors.New("is not a valid header name")
	}
	canonical = textproto.CanonicalMIMEHeaderKey(name)
	if transport.has(canonical) || prefixOf(canonical, transportPrefixes) != "" {
		return canonical, errors.New("is reserved: it belongs to the connection")
	}
	return canonical, checkValue(value)
}

// CheckSecret reports why the value of a secret cannot be the value of a header.
func CheckSecret(value string) error {
	if err := checkValue(value); err != nil {
		return err
	}
	return checkSpaces(value)
}

func checkValue(value string) error {
	if len(value) > ValueMax {
		return fmt.Errorf("is longer than %d bytes, the limit of a header value", ValueMax)
	}
	if !httpguts.ValidHeaderFieldValue(value) {
		return errors.New("contains a line end or another control character")
	}
	return nil
}

// checkSpaces is for configured values: a server does not see the spaces around a value.
func checkSpaces(value string) error {
	if strings.Trim(value, " \t") != value {
		return errors.New("begins or ends with a space, which a header cannot carry")
	}
	return nil
}

func prefixOf(name string, prefixes []string) string {
	for _, prefix := range prefixes {
		if strings.HasPrefix(name, prefix) {
			return prefix
		}
	}
	return ""
}
