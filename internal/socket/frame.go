package socket

import (
	"encoding/json"
	"errors"
	"regexp"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/strictjson"
)

// frameMax bounds a frame that comes in, in bytes.
const frameMax = 1 << 20

// call is one frame of a client: a name, an object, and in it the qid by which the client knows the answer.
type call struct {
	name string
	qid  json.RawMessage
	body strictjson.Object
	size int // of the frame, in bytes
}

var callName = regexp.MustCompile(`^[a-z0-9_]{1,64}$`)

// readCall reads [name, object]. The error is meant for the client; the call holds the fields that could be read.
func readCall(text []byte) (call, error) {
	document, err := strictjson.Read(text)
	if err != nil {
		return call{}, invalid(err.Error())
	}
	var parts []json.RawMessage
	if strictjson.Kind(document) != "array" || json.Unmarshal(document, &parts) != nil || len(parts) != 2 {
		return call{}, invalid("a frame is an array of a name and an object")
	}
	c := call{size: len(text)}
	if json.Unmarshal(parts[0], &c.name) != nil || !callName.MatchString(c.name) {
		return call{}, invalid("the name of a frame is a word of a-z, 0-9 and _")
	}
	if strictjson.Kind(parts[1]) != "object" {
		return c, invalid("the second part of a frame is an object")
	}
	if c.body, err = strictjson.ReadObject(parts[1]); err != nil {
		return c, invalid(err.Error())
	}
	qid := c.body.Lookup("qid")
	switch strictjson.Kind(qid) {
	case "number", "string":
	default:
		return c, invalid("qid is missing: a number or a string by which you know the answer")
	}
	if len(qid) > qidMax {
		return c, invalid("qid is too long")
	}
	c.qid = qid
	return c, nil
}

func invalid(text string) error { return fault.New(fault.BadEvent, "%s", text) }

// qidMax bounds a qid, in bytes: it is kept while its call runs.
const qidMax = 128

// text is a member that must be a string; "" when it is not there.
func (c call) text(name string) (string, error) {
	value := c.body.Lookup(name)
	if value == nil {
		return "", nil
	}
	var text string
	if json.Unmarshal(value, &text) != nil {
		return "", fault.New(fault.BadEvent, "%s must be a string", name)
	}
	return text, nil
}

// number is a member that must be a whole number from least to most; otherwise is its value when it is not there.
func (c call) number(name string, least, most, otherwise int) (int, error) {
	value := c.body.Lookup(name)
	if value == nil {
		return otherwise, nil
	}
	var n int
	if json.Unmarshal(value, &n) != nil || n < least || n > most {
		return 0, fault.New(fault.BadEvent, "%s must be a whole number from %d to %d", name, least, most)
	}
	return n, nil
}

// texts is a member that must be an array of strings.
func (c call) texts(name string) ([]string, error) {
	value := c.body.Lookup(name)
	if value == nil {
		return nil, nil
	}
	var list []string
	if json.Unmarshal(value, &list) != nil {
		return nil, fault.New(fault.BadEvent, "%s must be an array of strings", name)
	}
	return list, nil
}

// result are the members of an answer.
type result map[string]any

// encode writes a frame.
func encode(name string, body any) ([]byte, error) { return strictjson.Encode([]any{name, body}) }

// answerOf is the frame that answers a call.
func (c call) answerOf(r result, err error) ([]byte, error) {
	name := c.name + "_result"
	if c.name == "" {
		name = "error"
	}
	if r == nil {
		r = result{}
	}
	r["qid"], r["success"] = c.qid, err == nil
	if c.qid == nil {
		r["qid"] = nil
	}
	if err != nil {
		r["error"] = problemOf(err)
	}
	return encode(name, r)
}

type problem struct {
	Kind    fault.Kind `json:"kind"`
	Message string     `json:"message"`
}

// problemOf returns what a client may know: what a script raised is its builder's to read, in the run.
func problemOf(err error) problem {
	var f *fault.Fault
	switch {
	case !errors.As(err, &f):
		return problem{fault.Internal, "it cannot be done now: try again"}
	case f.Kind == fault.ScriptTimeout:
		return problem{f.Kind, "the script did not answer in time"}
	case f.Kind.OfScript():
		return problem{f.Kind, "the script failed: see its run for the reason"}
	}
	return problem{f.Kind, f.Message}
}
