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

// process is one interpreter. It waits for a job, runs it and ends.
type process struct {
	zygote   *zygote
	place    place
	job      *os.File      // pipe that carries the job to the process
	answers  *os.File      // pipe that carries the answer back
	status   *net.UnixConn // the zygote reports the end of the process on it
	listener net.Listener  // host socket in the process's network namespace, served by the egress proxy
	counted  bool          // in the zygote's number of processes
	asked    bool          // the zygote received the request for it
	gone     func()        // called once, after the last of its processes ended
	closed   sync.Once
}

// proxyPort is the port of the egress proxy on the loopback address of a process's network namespace.
const proxyPort = 3128

// connect opens the pipes and the socket of the process. It returns the other ends: the status, the job, the
// answer, and the files of the control groups.
func (c *process) connect() (theirs []*os.File, err error) {
	defer func() {
		if err != nil {
			closeAll(theirs)
			theirs = nil
		}
	}()
	var end *os.File
	if c.status, end, err = socketPair(unix.SOCK_SEQPACKET); err != nil {
		return nil, err
	}
	theirs = append(theirs, end)
	if end, c.job, err = os.Pipe(); err != nil {
		return theirs, fmt.Errorf("make a pipe: %w", err)
	}
	theirs = append(theirs, end)
	if c.answers, end, err = os.Pipe(); err != nil {
		return theirs, fmt.Errorf("make a pipe: %w", err)
	}
	theirs = append(theirs, end)
	groups, err := c.place.open()
	return append(theirs, groups...), err
}

// awaitReady waits until the process has dropped its privileges, and receives its host socket.
func (c *process) awaitReady(ctx context.Context) error {
	defer bounded(ctx, c.status, readyTimeout)()
	word, rights := make([]byte, 2048), make([]byte, unix.CmsgSpace(4*4))
	n, rn, _, _, err := c.status.ReadMsgUnix(word, rights)
	if err != nil {
		return fmt.Errorf("sandbox process did not become ready: %w", err)
	}
	files := received(rights[:rn])
	defer closeAll(files)
	if string(word[:n]) != "listener" || len(files) != 1 {
		return fmt.Errorf("sandbox process did not start: %q", word[:n])
	}
	if c.listener, err = net.FileListener(files[0]); err != nil {
		return fmt.Errorf("use the host socket of the sandbox process: %w", err)
	}
	defer bounded(ctx, c.answers, readyTimeout)()
	text, err := readFrame(c.answers, 2048)
	if err != nil {
		return fmt.Errorf("sandbox process did not become ready: %w", errors.Join(err, c.failure(err)))
	}
	if string(text) != "ready" {
		return fmt.Errorf("sandbox process did not start: %q", text)
	}
	return nil
}

// failure returns the zygote's error about a process that did not start. One that still runs has none.
func (c *process) failure(why error) error {
	if errors.Is(why, os.ErrDeadlineExceeded) {
		return nil
	}
	e, err := c.awaitEnd()
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

// alive reports whether a waiting process still runs: the zygote sends a message only when the process ended.
func (c *process) alive() bool {
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

// endTimeout bounds how long close waits for the kernel to end a process's namespaces (3 ms on an idle machine).
const endTimeout = 5 * time.Second

// close ends the process and all its children, and waits until the kernel has removed them. Only then can another process
// use its place.
func (c *process) close() {
	c.closed.Do(func() {
		for _, f := range []*os.File{c.job, c.answers} {
			if f != nil {
				_ = f.Close()
			}
		}
		if c.listener != nil {
			_ = c.listener.Close()
		}
		if c.status != nil {
			_ = c.status.CloseWrite() // the zygote kills
			c.awaitGone()
		}
		if c.counted {
			c.zygote.release()
		}
	})
}

// awaitGone waits for the end of the process: the zygote closes the other end of status then. After endTimeout it waits in
// the background, until the namespace of the zygote ends at the latest.
func (c *process) awaitGone() {
	if !c.asked {
		_ = c.status.Close()
		c.leave()
		return
	}
	_ = c.status.SetDeadline(time.Now().Add(endTimeout))
	if drain(c.status) {
		_ = c.status.Close()
		c.leave()
		return
	}
	_ = c.status.SetDeadline(time.Time{})
	go func() {
		drain(c.status)
		_ = c.status.Close()
		c.leave()
	}()
}

func (c *process) leave() {
	if c.gone != nil {
		c.gone()
	}
}

// drain reads until the end of the stream, and reports whether it was reached.
func drain(r io.Reader) bool {
	_, err := io.Copy(io.Discard, r)
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// order is the JSON form of a job.
type order struct {
	Step      string `json:"step"`
	EventID   string `json:"event_id"`
	Script    string `json:"script"`
	Body      string `json:"body"`
	TimeoutMS int64  `json:"timeout_ms"`

	Base64    bool              `json:"base64,omitempty"` // body is in base64
	Event     json.RawMessage   `json:"event,omitempty"`
	Params    []json.RawMessage `json:"params"`
	BodyParam int               `json:"body_param,omitempty"`
	BodyData  bool              `json:"body_data,omitempty"`
	Host      bool              `json:"host,omitempty"` // the module hookturn is available
}

// orderOf returns the order for a job. A body that is not UTF-8 is sent in base64.
func orderOf(j Job) order {
	o := order{
		Step: j.Step, EventID: j.EventID, Script: j.Script, Body: j.Body, TimeoutMS: j.Timeout.Milliseconds(),
		Event: j.Event, Params: j.Params, BodyParam: j.BodyParam,
		BodyData: j.BodyData, Host: j.Host != nil,
	}
	if !utf8.ValidString(j.Body) {
		o.Body, o.Base64 = base64.StdEncoding.EncodeToString([]byte(j.Body)), true
	}
	return o
}

// run sends the job to the process and waits for its answer, until the job's timeout.
func (c *process) run(ctx context.Context, j Job, o Options) (Result, *fault.Fault) {
	text, err := json.Marshal(orderOf(j))
	if err != nil {
		return Result{}, fault.Wrap(fault.Internal, err, "encode the job as JSON")
	}
	stopProxy := serveProxy(c.listener, j, o)
	defer stopProxy()
	defer bounded(ctx, c.job, j.Timeout)()
	defer bounded(ctx, c.answers, j.Timeout)()
	if err := writeFrame(c.job, text); err != nil {
		return Result{}, fault.Wrap(fault.SandboxUnavailable, err, "the sandbox process did not accept the job")
	}
	a, err := readAnswer(c.answers)
	r := Result{Value: a.Value, Log: a.Log, Sent: true}
	switch {
	case err == nil:
		return r, a.fault()
	case ctx.Err() != nil:
		return r, fault.New(fault.OutcomeUnknown, "the run was stopped while the script ran")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return r, fault.New(fault.ScriptTimeout, "the script ran longer than %s", j.Timeout)
	case errors.Is(err, errFrame):
		return r, fault.New(fault.ScriptBadResponse, "invalid result of the script, or a result of more than %d bytes", frameMax)
	}
	ended, failed := c.awaitEnd()
	if failed != nil {
		return r, fault.Wrap(fault.ScriptCrash, failed, "the script's interpreter ended without an answer")
	}
	return r, ended.fault()
}

// awaitEnd waits for the zygote's message about a process that has closed its end of answers.
func (c *process) awaitEnd() (ending, error) {
	defer bounded(context.Background(), c.status, endedTimeout)()
	return c.ending()
}

// ending is how a process ended, as the zygote reports it. A script cannot forge it.
type ending struct {
	Exit   int    `json:"exit"` // the status, or the negative signal
	CPUMS  int64  `json:"cpu_ms"`
	Failed string `json:"failed"`
}

func (c *process) ending() (ending, error) {
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

// fault returns the fault for an end without an answer.
func (e ending) fault() *fault.Fault {
	switch signal := unix.Signal(-e.Exit); {
	case signal == unix.SIGSYS:
		return fault.New(fault.ScriptForbidden, "the script made a forbidden system call and was ended by the kernel")
	case signal == unix.SIGKILL && e.cpu() >= (cpuSeconds-1)*time.Second, signal == unix.SIGXCPU:
		return fault.New(fault.ScriptCPU, "the script used more than %d s of processor time", cpuSeconds)
	case signal == unix.SIGKILL:
		return fault.New(fault.ScriptMemory, "the kernel ended the script: it needed too much memory")
	case e.Exit < 0:
		return fault.New(fault.ScriptCrash, "the script's interpreter was ended by signal %d", -e.Exit)
	}
	return fault.New(fault.ScriptCrash, "the script ended its interpreter with status %d and no answer", e.Exit)
}

// answer is the answer of a process. A script can forge any part of it.
type answer struct {
	Kind    string          `json:"kind"`
	Value   json.RawMessage `json:"value"`
	Message string          `json:"message"`
	Log     string          `json:"log"`
}

// kinds maps the kind of an answer to its error code.
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
		return fault.New(fault.ScriptBadResponse, "invalid result of the script")
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

// readAnswer reads exactly one frame. Its content is not trusted.
func readAnswer(r io.Reader) (answer, error) {
	text, err := readFrame(r, frameMax)
	if err != nil {
		return answer{}, err
	}
	return decodeAnswer(text)
}

func readFrame(r io.Reader, most uint32) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > most {
		return nil, errFrame
	}
	text := make([]byte, size)
	_, err := io.ReadFull(r, text)
	return text, err
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
