package sandbox

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/hookturn/hookturn/internal/fault"
)

// cell is one interpreter: it waits for a job, runs it, and is gone.
type cell struct {
	zygote       *zygote
	data, status *net.UnixConn
	door         net.Listener // in the cell's own network: we are its proxy
	closed       sync.Once
}

// proxyPort is where scripts find the proxy, on the loopback address of their own network.
const proxyPort = 3128

// awaitReady waits until the cell has given up what it must, and takes its door.
func (c *cell) awaitReady(ctx context.Context) error {
	defer bounded(ctx, c.data, cellTimeout)()
	word, rights := make([]byte, 1100), make([]byte, unix.CmsgSpace(4*4))
	n, rn, _, _, err := c.data.ReadMsgUnix(word, rights)
	if err != nil {
		return fmt.Errorf("the cell is not ready: %w", errors.Join(err, c.failure()))
	}
	files := received(rights[:rn])
	if string(word[:n]) != "ready" || len(files) != 1 {
		closeAll(files)
		return fmt.Errorf("the cell cannot be made: %q", word[:n])
	}
	c.door, err = net.FileListener(files[0])
	closeAll(files)
	if err != nil {
		return fmt.Errorf("take the cell's door: %w", err)
	}
	return nil
}

// failure is what the keeper says of a cell that did not come to be.
func (c *cell) failure() error {
	defer bounded(context.Background(), c.status, 100*time.Millisecond)()
	e, err := c.ending()
	if err == nil && e.Failed != "" {
		return errors.New(e.Failed)
	}
	return nil
}

func received(oob []byte) []*os.File {
	var files []*os.File
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// alive says whether a cell that waited still does: the keeper says something only when it ended.
func (c *cell) alive() bool {
	raw, err := c.status.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = raw.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, 0)
		quiet = n == 0 && err == nil
	})
	return err == nil && quiet
}

// close ends the cell and everything in it, whatever it is doing.
func (c *cell) close() {
	c.closed.Do(func() {
		_ = c.status.Close() // the keeper kills
		_ = c.data.Close()
		if c.door != nil {
			_ = c.door.Close()
		}
		c.zygote.release()
	})
}

// order is a job as the cell reads it.
type order struct {
	Step      string `json:"step"`
	EventID   string `json:"event_id"`
	Script    string `json:"script"`
	Body      string `json:"body"`
	TimeoutMS int64  `json:"timeout_ms"`

	Base64    bool              `json:"base64,omitempty"` // the body is
	Event     json.RawMessage   `json:"event,omitempty"`
	Params    []json.RawMessage `json:"params"`
	BodyParam int               `json:"body_param,omitempty"`
	Host      bool              `json:"host,omitempty"` // there is one to ask
}

// orderOf writes a job down for the cell. A body that is no text travels in base64.
func orderOf(j Job) order {
	o := order{
		Step: j.Step, EventID: j.EventID, Script: j.Script, Body: j.Body, TimeoutMS: j.Timeout.Milliseconds(),
		Event: j.Event, Params: j.Params, BodyParam: j.BodyParam,
		Host: j.Host != nil,
	}
	if !utf8.ValidString(j.Body) {
		o.Body, o.Base64 = base64.StdEncoding.EncodeToString([]byte(j.Body)), true
	}
	return o
}

// run gives the cell its job and waits for the end, until the job's time-out.
func (c *cell) run(ctx context.Context, j Job, o Options) (Result, *fault.Fault) {
	text, err := json.Marshal(orderOf(j))
	if err != nil {
		return Result{}, fault.Wrap(fault.Internal, err, "the job cannot be written as JSON")
	}
	stopProxy := serveProxy(c.door, j, o)
	defer stopProxy()
	release := bounded(ctx, c.data, j.Timeout)
	defer release()
	if err := writeFrame(c.data, text); err != nil {
		return Result{}, fault.Wrap(fault.SandboxUnavailable, err, "the sandbox did not take the job")
	}
	a, err := readAnswer(c.data)
	r := Result{Value: a.Value, Log: a.Log, Sent: true}
	switch {
	case err == nil:
		if ended, err := c.awaitEnd(); err == nil {
			r.CPU = ended.cpu()
		}
		return r, a.fault()
	case ctx.Err() != nil:
		return r, fault.New(fault.OutcomeUnknown, "the run was stopped while the script ran")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return r, fault.New(fault.ScriptTimeout, "the script ran longer than %s", j.Timeout)
	case errors.Is(err, errFrame):
		return r, fault.New(fault.ScriptBadResponse, "the script's result is no result, or larger than %d bytes", frameMax)
	}
	ended, failed := c.awaitEnd()
	if failed != nil {
		return r, fault.Wrap(fault.ScriptCrash, failed, "the script's interpreter ended without an answer")
	}
	r.CPU = ended.cpu()
	return r, ended.fault()
}

// awaitEnd waits for the keeper's words about a cell that has said its last.
func (c *cell) awaitEnd() (ending, error) {
	defer bounded(context.Background(), c.status, time.Second)()
	return c.ending()
}

// ending is how a cell's process ended, as the keeper saw it: a script has no hand in it.
type ending struct {
	Exit   int    `json:"exit"` // the status, or the negative signal
	CPUMS  int64  `json:"cpu_ms"`
	Failed string `json:"failed"`
}

func (c *cell) ending() (ending, error) {
	text := make([]byte, 2048)
	n, err := c.status.Read(text)
	if err != nil {
		return ending{}, err
	}
	if n == 0 {
		return ending{}, io.ErrUnexpectedEOF
	}
	var e ending
	return e, json.Unmarshal(text[:n], &e)
}

func (e ending) cpu() time.Duration { return time.Duration(e.CPUMS) * time.Millisecond }

// fault names an end without an answer.
func (e ending) fault() *fault.Fault {
	switch signal := unix.Signal(-e.Exit); {
	case signal == unix.SIGSYS:
		return fault.New(fault.ScriptForbidden, "the script made a system call that no script needs: the kernel ended it")
	case signal == unix.SIGKILL && e.cpu() >= (cpuSeconds-1)*time.Second, signal == unix.SIGXCPU:
		return fault.New(fault.ScriptCPU, "the script used more than %d s of processor time", cpuSeconds)
	case signal == unix.SIGKILL:
		return fault.New(fault.ScriptMemory, "the kernel ended the script: it needed too much memory")
	case e.Exit < 0:
		return fault.New(fault.ScriptCrash, "the script's interpreter was ended by signal %d", -e.Exit)
	}
	return fault.New(fault.ScriptCrash, "the script ended its interpreter with status %d and no answer", e.Exit)
}

// answer is what the cell says. A script may have forged every word of it.
type answer struct {
	Kind    string          `json:"kind"`
	Value   json.RawMessage `json:"value"`
	Message string          `json:"message"`
	Log     string          `json:"log"`
}

// kinds are the failure words of an answer's kind.
var kinds = map[string]fault.Kind{
	"syntax": fault.ScriptSyntax, "no_main": fault.ScriptNoMain, "exception": fault.ScriptException,
	"memory": fault.ScriptMemory, "bad_response": fault.ScriptBadResponse,
}

func (a answer) fault() *fault.Fault {
	if a.Kind == "ok" {
		return nil
	}
	kind, known := kinds[a.Kind]
	if !known {
		return fault.New(fault.ScriptBadResponse, "the script's result is no result")
	}
	return fault.New(kind, "%s", a.Message)
}

const frameMax = ResultMax + 4*LogMax + 16<<10 // a log may grow by its escapes

var errFrame = errors.New("not a frame")

func writeFrame(w io.Writer, text []byte) error {
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(text)), uint32(len(text)))
	_, err := w.Write(append(frame, text...))
	return err
}

// readAnswer reads one frame and nothing behind it. It trusts no byte of it.
func readAnswer(r io.Reader) (answer, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return answer{}, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > frameMax {
		return answer{}, errFrame
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(r, text); err != nil {
		return answer{}, err
	}
	return decodeAnswer(text)
}

func decodeAnswer(text []byte) (answer, error) {
	var a answer
	if err := json.Unmarshal(text, &a); err != nil {
		return answer{}, errFrame
	}
	if len(a.Value) > ResultMax {
		return answer{}, errFrame
	}
	if len(a.Log) > 2*LogMax {
		a.Log = a.Log[:2*LogMax]
	}
	return a, nil
}
