package scripthost

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/header"
	"github.com/hookturn/hookturn/internal/sandbox"
)

const (
	requestTimeout = 10 * time.Second // of a request that does not say
	answerMax      = 256 << 10        // bytes of an answer
	headersMax     = 64 << 10         // bytes of the headers of a request, as JSON
)

// Where a script writes these into a header, the channel's token for the far end is put.
const (
	tokenRemote  = "{{token_remote}}"
	tokenRemote2 = "{{token_remote2}}"
)

type requestParams struct {
	Channel   string      `json:"channel"`
	Path      string      `json:"path"`
	Method    string      `json:"method"`
	Headers   headersSent `json:"headers"`
	Body      []byte      `json:"body"` // base64
	TimeoutMS int64       `json:"timeout_ms"`
}

// headersSent are headers by name. A map takes many times the memory of its JSON, so what the egress client would reject
// is not decoded.
type headersSent map[string]string

// UnmarshalJSON reads the headers, at most headersMax bytes of JSON.
func (h *headersSent) UnmarshalJSON(text []byte) error {
	if len(text) > headersMax {
		return fault.New(fault.TooLarge, "the headers of a request have at most %d bytes", headersMax)
	}
	return json.Unmarshal(text, (*map[string]string)(h))
}

type requestResult struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"` // base64
}

// request sends a request to the far end of a channel: to a path below the channel's URL, or to a whole URL where the bot
// file allows those. The egress policy and the bot's list of connections decide, as about every other connection of the
// script.
func (a *api) request(ctx context.Context, q requestParams) (any, error) {
	ch, err := a.channel(q.Channel)
	if err != nil {
		return nil, err
	}
	if !slices.Contains([]string{
		http.MethodGet, http.MethodPost, http.MethodPut, http.MethodHead, http.MethodDelete,
	}, q.Method) {
		return nil, fault.New(fault.Config, "a channel is asked by GET, POST, PUT, HEAD or DELETE")
	}
	target, own, err := a.target(ch, q.Path)
	if err != nil {
		return nil, err
	}
	if err := a.connects(target); err != nil {
		return nil, err
	}
	headers, err := a.header(ch, q.Headers, own)
	if err != nil {
		return nil, err
	}
	timeout := requestTimeout
	if q.TimeoutMS > 0 {
		timeout = time.Duration(q.TimeoutMS) * time.Millisecond
	}
	response, attempt, err := a.HTTP.Do(ctx, egress.Request{
		Method: q.Method, URL: target, Header: headers, Body: q.Body, BodyLimit: answerMax,
		Timeout: min(timeout, time.Until(a.run.Until)),
	})
	a.Log.InfoContext(ctx, "channel request", "tenant", a.run.Tenant, "bot", a.run.Bot, "channel", ch.Code,
		"event", a.run.EventID, "url", attempt.URL, "status", attempt.Status, "kind", attempt.Error, "duration_ms",
		attempt.TotalMs)
	if err != nil {
		return nil, err
	}
	out := requestResult{
		Status: response.Status, Headers: map[string]string{}, Body: base64.StdEncoding.EncodeToString(response.Body),
	}
	for name, values := range response.Header {
		out.Headers[name] = strings.ToValidUTF8(strings.Join(values, ", "), "\uFFFD")
	}
	return out, nil
}

// target is the URL that is meant, and whether it is the far end's: no other may see the channel's tokens.
func (a *api) target(ch *bot.Channel, path string) (target string, own bool, err error) {
	u, err := url.Parse(path)
	if err != nil {
		return "", false, fault.New(fault.Config, "the path of the request is not a valid URL")
	}
	if !u.IsAbs() {
		if ch.URL == "" {
			return "", false, fault.New(fault.Config, "channel %s has no url", ch.Code)
		}
		joined, err := bot.Join(ch.URL, path)
		if err != nil {
			return "", false, fault.New(fault.Config, "the path of the request %s", err)
		}
		return joined, true, nil
	}
	b, ok := a.Bots.Current().Bot(a.run.BotID)
	if !ok || !b.AbsoluteURLs() {
		return "", false, fault.New(fault.Blocked, "the bot file forbids whole URLs: ask by a path below the channel's url")
	}
	base, err := url.Parse(ch.URL)
	return path, err == nil && base.Scheme == u.Scheme && base.Host == u.Host, nil
}

// connects returns an error when the bot's list of connections does not have the host of a URL.
func (a *api) connects(target string) error {
	if a.run.Connections == nil {
		return nil
	}
	u, err := url.Parse(target)
	if err != nil {
		return fault.New(fault.Config, "the path of the request is not a valid URL")
	}
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "http":
		port = "80"
	default:
		port = "443"
	}
	if at := net.JoinHostPort(u.Hostname(), port); !sandbox.Connects(a.run.Connections, at) {
		return sandbox.NotListed(at)
	}
	return nil
}

// header is what the script set, with the channel's tokens in it.
func (a *api) header(ch *bot.Channel, set map[string]string, own bool) (http.Header, error) {
	out := http.Header{}
	for name, value := range set {
		for word, secret := range map[string]string{tokenRemote: ch.TokenRemote, tokenRemote2: ch.TokenRemote2} {
			if !strings.Contains(value, word) {
				continue
			}
			if !own {
				return nil, fault.New(fault.Blocked, "%s goes to the channel's own url only", word)
			}
			token, ok := a.secret(secret)
			if !ok {
				return nil, fault.New(fault.Config, "channel %s has no value for %s", ch.Code, word)
			}
			value = strings.ReplaceAll(value, word, token)
		}
		canonical, err := header.CheckSent(name, value)
		if err != nil {
			return nil, fault.New(fault.Config, "header %q of the request %s", name, err)
		}
		out.Set(canonical, value)
	}
	return out, nil
}

// secret is the newest value of a secret of the bot.
func (a *api) secret(name string) (string, bool) {
	if name == "" {
		return "", false
	}
	values, err := a.Bots.Secrets(a.run.BotID, a.run.Revision, name)
	if err != nil {
		return "", false
	}
	return values[0].Reveal(), true
}
