// Package header is the policy of request headers: which of them a bot file, a script, or hookturn itself may set.
//
// The same policy applies when a file is loaded and when a request is sent, so that a header that loads can be sent. Bot
// files cannot set three groups of headers; headers of the first group are rejected in every request:
//
//	transport   belongs to one connection, or changes how Go's transport sends a request
//	platform    is set by hookturn: another value would forge a signature or break a trace
//	configured  has a key of its own in the bot file, or is set by the dialect
//
// Errors do not contain values, which can be secrets. Compressed reads the Content-Encoding of messages in both directions.
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
	// ValueMax is the longest value, in bytes: the limit of many servers for all headers together.
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
		// With one of these headers, Go's transport retries a POST by itself.
		"Idempotency-Key", "X-Idempotency-Key",
	)
	transportPrefixes = []string{"Proxy-"}

	platform         = of("Baggage", "Traceparent", "Tracestate", "X-Hub-Signature", "X-Hub-Signature-256")
	platformPrefixes = []string{"Hookturn-", "Webhook-", "X-B3-"}

	configured = of("Content-Type", "User-Agent")
)

// CheckFile returns an error when a bot file cannot set the header. It also returns the canonical name.
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

// CheckSent returns an error when no request can contain the header. It also returns the canonical name.
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

// CheckSecret returns an error when a secret cannot be the value of a header.
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

// checkSpaces rejects spaces around a configured value: HTTP does not transfer them.
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
