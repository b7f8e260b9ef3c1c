package channel

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/strictjson"
)

// Words that a script finds among its start parameters.
const (
	protocolHTTP      = "http"
	protocolWebsocket = "websocket"
	methodMessage     = "message"
)

// The places of an HTTP request's body and of a message's data among the start parameters.
const (
	bodyParam = 4
	dataParam = 3
)

// HTTP fills in what a script receives of an HTTP request: seven start parameters, and event as a Lambda proxy has it. The
// headers Authorization and Cookie stay outside, for they may hold the channel's token. Host is among the headers, although
// net/http keeps it elsewhere. The text of an invalid sender, which is not known, is "".
func HTTP(run *step.ScriptRun, ch *bot.Channel, r *http.Request, body []byte, sender netip.Addr) error {
	headers, list := map[string]string{}, [][2]string{}
	if r.Host != "" {
		headers["host"], list = r.Host, append(list, [2]string{"Host", r.Host})
	}
	for name, values := range r.Header {
		if name == "Authorization" || name == "Cookie" {
			continue
		}
		headers[strings.ToLower(name)] = strings.Join(values, ", ")
		for _, value := range values {
			list = append(list, [2]string{name, value})
		}
	}
	slices.SortFunc(list, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	query := map[string]string{}
	for name, values := range r.URL.Query() {
		query[name] = values[len(values)-1]
	}
	event, err := eventOf(ch, map[string]any{
		"httpMethod": r.Method, "path": r.URL.Path, "rawQueryString": r.URL.RawQuery, "queryStringParameters": query,
		"headers": headers, "sourceIp": sender,
	})
	if err != nil {
		return err
	}
	run.Event, run.Body, run.BodyParam = event, body, bodyParam
	return setParams(run, ch.Entity(), r.Method, r.URL.Path, nil, list, sender, protocolHTTP)
}

// eventOf returns what a script of a channel finds in event.
func eventOf(ch *bot.Channel, members map[string]any) (json.RawMessage, error) {
	maps.Copy(members, ch.Grants())
	return marshal(members)
}

// Message fills in what a script receives of a WebSocket's message, with all of its members: seven start parameters,
// the data as event's body, and the whole message in event. The run has the data once: a message takes the whole frame, and
// Temporal keeps 2 MiB.
func Message(run *step.ScriptRun, ch *bot.Channel, message map[string]json.RawMessage, connection string, sender netip.Addr,
) error {
	data, qid := message["data"], message["qid"]
	run.Body, run.BodyParam, run.BodyData = []byte("null"), 0, false
	if data != nil {
		message = maps.Clone(message)
		delete(message, "data")
		run.Body, run.BodyParam, run.BodyData = data, dataParam, true
	}
	event, err := eventOf(ch, map[string]any{
		"message": message, "connectionId": connection, "sourceIp": sender,
	})
	if err != nil {
		return err
	}
	run.Event = event
	return setParams(run, ch.Entity(), methodMessage, nil, qid, connection, sender,
		protocolWebsocket)
}

// Start fills in what a script receives when a WebSocket starts it by name: the start parameters of the message.
func Start(run *step.ScriptRun, ch *bot.Channel, params []json.RawMessage) error {
	event, err := marshal(ch.Grants())
	run.Event, run.Body, run.Params = event, []byte("{}"), params
	return err
}

func setParams(run *step.ScriptRun, params ...any) error {
	run.Params = make([]json.RawMessage, 0, len(params))
	for _, p := range params {
		text, err := marshal(p)
		if err != nil {
			return err
		}
		run.Params = append(run.Params, text)
	}
	return nil
}

// marshal writes what came over HTTP, which may be no UTF-8.
func marshal(value any) (json.RawMessage, error) {
	text, err := json.Marshal(value) // puts U+FFFD where there is no UTF-8
	return bytes.ToValidUTF8(text, nil), err
}

// Answer is an HTTP answer as a script set it.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	File   string // id of the file that is the body; "" = none
}

// returned is what main returns: {"statusCode", "headers", "body", "isBase64Encoded"}, or {"statusCode", "file"}.
type returned struct {
	Status  *json.Number               `json:"statusCode"`
	Headers map[string]json.RawMessage `json:"headers"`
	Body    json.RawMessage            `json:"body"`
	Base64  bool                       `json:"isBase64Encoded"`
	File    string                     `json:"file"`
}

// contentType is that of an answer whose script set none.
const contentType = "text/plain; charset=utf-8"

// DecodeHTTP reads what a script returned for an HTTP caller. The body may be any text, or bytes in base64; a body that is
// no string is sent as its JSON. The error is a *fault.Fault of the kind script_bad_response.
func DecodeHTTP(value json.RawMessage) (Answer, error) {
	var r returned
	if strictjson.Kind(value) != "object" || json.Unmarshal(value, &r) != nil {
		return Answer{}, bad(`main must return {"statusCode": 200, "headers": {…}, "body": "…"}`)
	}
	a := Answer{Status: http.StatusOK, Header: http.Header{}, File: r.File}
	if r.Status != nil {
		status, err := r.Status.Int64()
		if err != nil || status < 200 || status > 599 {
			return Answer{}, bad("statusCode must be a whole number from 200 to 599")
		}
		a.Status = int(status)
	}
	for name, value := range r.Headers {
		value, ok := headerValue(value)
		if !ok {
			return Answer{}, bad("headers must be an object of strings, numbers and booleans")
		}
		if value == nil {
			continue
		}
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(*value) {
			return Answer{}, bad("headers must have names and values that HTTP can carry")
		}
		if !ours(name) {
			a.Header.Set(name, *value)
		}
	}
	body, err := bodyOf(r)
	if err != nil {
		return Answer{}, err
	}
	if a.Body = body; a.Header.Get("Content-Type") == "" {
		a.Header.Set("Content-Type", contentType)
		if strictjson.Kind(r.Body) != "string" {
			a.Header.Set("Content-Type", "application/json")
		}
	}
	return a, nil
}

// headerValue is the text of a header: a number or a boolean is sent as its JSON. A header that is null is not set (nil).
func headerValue(value json.RawMessage) (text *string, ok bool) {
	var s string
	switch strictjson.Kind(value) {
	case "null":
		return nil, true
	case "number", "boolean":
		s = string(value)
		return &s, true
	case "string":
		return &s, json.Unmarshal(value, &s) == nil
	}
	return nil, false
}

// ours are headers that say how an answer travels, which is not the script's to say.
func ours(name string) bool {
	return slices.Contains([]string{
		"Connection", "Content-Length", "Date", "Keep-Alive", "Proxy-Authenticate", "Strict-Transport-Security", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade", "X-Request-Id",
	}, http.CanonicalHeaderKey(name))
}

func bodyOf(r returned) ([]byte, error) {
	switch strictjson.Kind(r.Body) {
	case "nothing", "null":
		return nil, nil
	case "string":
	default:
		return r.Body, nil
	}
	var text string
	if err := json.Unmarshal(r.Body, &text); err != nil {
		return nil, bad("body is not a valid string")
	}
	if !r.Base64 {
		return []byte(text), nil
	}
	body, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, bad("body must be base64, because isBase64Encoded is true")
	}
	return body, nil
}

// DecodeData reads what a script returned for a websocket: the body's JSON, or the body itself when it holds none. A
// statusCode of 400 or more is a failure.
func DecodeData(value json.RawMessage) (json.RawMessage, error) {
	a, err := DecodeHTTP(value)
	if err != nil {
		return nil, err
	}
	if a.Status >= http.StatusBadRequest {
		return nil, bad("the script answered with a failure")
	}
	if len(a.Body) == 0 {
		return json.RawMessage("null"), nil
	}
	if document, err := strictjson.Read(a.Body); err == nil {
		return document, nil
	}
	return marshal(string(a.Body))
}

func bad(text string) error { return fault.New(fault.ScriptBadResponse, "%s", text) }
