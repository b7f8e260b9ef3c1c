package jq

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"time"
)

// frameMax is the largest frame: an event of 1 MiB and the data of its conversation.
const frameMax = 8 << 20

// headLen is the size of a frame's length field, in bytes.
const headLen = 4

// request is a program, its input, and how long the pool waits for the response.
type request struct {
	Program string          `json:"p"`
	Input   json.RawMessage `json:"i,omitempty"`
	Longest time.Duration   `json:"l"`
}

// response is a result or the name of an error.
type response struct {
	Output json.RawMessage `json:"o,omitempty"`
	Error  string          `json:"e,omitempty"`
}

// failures maps the names of errors in responses to the errors.
var failures = map[string]error{
	"failed": ErrFailed, "none": ErrNone, "several": ErrSeveral, "long": ErrTooLong, "slow": ErrTimeout,
}

func (r response) err() error {
	if r.Error == "" {
		return nil
	}
	if err, known := failures[r.Error]; known {
		return err
	}
	return ErrFailed
}

var errFrame = errors.New("frame too long")

func writeFrame(w io.Writer, value any) error {
	var frame bytes.Buffer
	frame.Write(make([]byte, headLen))
	encoder := json.NewEncoder(&frame)
	encoder.SetEscapeHTML(false) // the result keeps its characters
	if err := encoder.Encode(value); err != nil {
		return err
	}
	if frame.Len() > frameMax {
		return errFrame
	}
	binary.BigEndian.PutUint32(frame.Bytes(), uint32(frame.Len()-headLen))
	_, err := w.Write(frame.Bytes())
	return err
}

func readFrame(r io.Reader, value any) error {
	var head [headLen]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > frameMax {
		return errFrame
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return err
	}
	return json.Unmarshal(body, value)
}
