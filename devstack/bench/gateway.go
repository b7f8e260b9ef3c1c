package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/sandbox"
	"github.com/hookturn/hookturn/schemas"
)

// What the gateway is asked.
const (
	gateRuns     = 300
	idleSockets  = 10_000
	busySockets  = 100
	busyRate     = 1000 // messages a second over all of them
	busyFor      = 20 * time.Second
	dialParallel = 64
	gateToken    = "token-of-the-benchmark"
	quickToken   = "token-without-workflows"
)

const gateBot = `bot: gate
secrets: {token: {file: gate-token}, quick: {file: quick-token}}
scripts: {trivial: {file: trivial.py}}
channels:
  - {code: gate, type: public, token_local: token, recv_svcscriptcode: trivial, opts: {issync: true}}
  - {code: quick, type: public, token_local: quick, recv_svcscriptcode: trivial, run: bare, opts: {issync: true}}
`

const trivialScript = `
def main(event, context):
    return {"statusCode": 200, "body": "ok"}
`

// gateway measures the gateway: a channel's script beside the script alone, idle WebSocket connections, and busy ones.
func (r *rig) gateway(ctx context.Context, out io.Writer) error {
	addr, stop, err := r.startGateway(ctx)
	if err != nil {
		return err
	}
	defer stop()
	if err := r.execBesideScript(ctx, out, addr); err != nil {
		return err
	}
	if err := r.idle(ctx, out, addr); err != nil {
		return err
	}
	return r.busy(ctx, out, addr)
}

// startGateway starts a worker for scripts and a starter with a gateway beside those of the rig.
func (r *rig) startGateway(ctx context.Context) (addr string, stop func(), err error) {
	dir := filepath.Join(r.dir, "bots")
	for name, text := range map[string]string{
		"gate.yaml": gateBot, "trivial.py": trivialScript, "gate-token": gateToken, "quick-token": quickToken,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return "", nil, err
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	addr = l.Addr().String()
	if err := l.Close(); err != nil {
		return "", nil, err
	}
	code, err := r.spawnProgram(worker, "HOOKTURN_TASK_QUEUES=hookturn,hookturn-code")
	if err != nil {
		return "", nil, err
	}
	gate, err := r.spawnProgram(starter, "HOOKTURN_GATEWAY_ADDR="+addr)
	if err != nil {
		code.stop()
		return "", nil, err
	}
	r.processes["gateway"] = gate
	stop = func() { code.stop(); gate.stop(); delete(r.processes, "gateway") }
	for {
		if _, err := execute(ctx, addr, gateToken); err == nil {
			return addr, stop, nil
		}
		if err := wait(ctx, 100*time.Millisecond); err != nil {
			stop()
			return "", nil, fmt.Errorf("the gateway did not answer: is bubblewrap installed? %w", err)
		}
	}
}

// execute runs the script of a token's channel once.
func execute(ctx context.Context, addr, token string) (time.Duration, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/exec", http.NoBody)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	began := time.Now()
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("the gateway answered %d", answer.StatusCode)
	}
	return time.Since(began), err
}

func (r *rig) execBesideScript(ctx context.Context, out io.Writer, addr string) error {
	box, err := sandbox.New(ctx, sandbox.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer box.Close()
	var bare, whole, quick measurement
	for range gateRuns { // by turns, for the machine's speed changes
		began := time.Now()
		_, f := box.Run(ctx, sandbox.Job{
			BotID: schemas.BotID{Tenant: "default", Bot: "gate"}, Step: "trivial", Script: trivialScript, Body: "{}",
			Timeout: 5 * time.Second,
		})
		if err := asError(f); err != nil {
			return err
		}
		bare.latencies = append(bare.latencies, time.Since(began))
		for token, m := range map[string]*measurement{gateToken: &whole, quickToken: &quick} {
			took, err := execute(ctx, addr, token)
			if err != nil {
				return err
			}
			m.latencies = append(m.latencies, took)
		}
	}
	fmt.Fprintf(out, "\n/exec synchronous, a trivial script, %d runs one after another: p50 %s ms, p99 %s ms; the bare script "+
		"in a warm sandbox p50 %s ms, p99 %s ms; the gateway and the workflow add %s ms to the median; with run: bare "+
		"p50 %s ms, p99 %s ms\n", gateRuns,
		ms(whole.quantile(0.5)), ms(whole.quantile(0.99)), ms(bare.quantile(0.5)), ms(bare.quantile(0.99)),
		ms(whole.quantile(0.5)-bare.quantile(0.5)), ms(quick.quantile(0.5)), ms(quick.quantile(0.99)))
	return r.execPlaces(ctx, out, whole.quantile(0.5))
}

func asError(f *fault.Fault) error {
	if f == nil {
		return nil
	}
	return f
}

// dial opens WebSocket connections, some at a time.
func dial(ctx context.Context, addr string, n int) ([]*websocket.Conn, error) {
	conns := make([]*websocket.Conn, n)
	address := "ws://" + addr + "/ws/token/v1/" + gateToken
	places, failed := make(chan int), make(chan error, dialParallel)
	var dialing sync.WaitGroup
	for range dialParallel {
		dialing.Go(func() {
			for i := range places {
				conn, _, err := websocket.Dial(ctx, address, nil) //nolint:bodyclose // the library has closed it
				if err != nil {
					select {
					case failed <- err:
					default:
					}
					continue
				}
				conns[i] = conn
			}
		})
	}
	for i := range n {
		places <- i
	}
	close(places)
	dialing.Wait()
	select {
	case err := <-failed:
		return conns, err
	default:
		return conns, nil
	}
}

func hangUp(conns []*websocket.Conn) {
	for _, conn := range conns {
		if conn != nil {
			_ = conn.CloseNow()
		}
	}
}

// idle measures the cost of idle WebSocket connections.
func (r *rig) idle(ctx context.Context, out io.Writer, addr string) error {
	pid := r.processes["gateway"].cmd.Process.Pid
	before, err := residentMiB(pid)
	if err != nil {
		return err
	}
	began := time.Now()
	conns, err := dial(ctx, addr, idleSockets)
	defer hangUp(conns)
	if err != nil {
		return fmt.Errorf("open %d WebSocket connections: %w", idleSockets, err)
	}
	took := time.Since(began)
	if _, err := info(ctx, conns[idleSockets-1], 1); err != nil { // all of them are served
		return err
	}
	after, err := residentMiB(pid)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d idle WebSocket connections on one gateway: opened in %.1f s, resident memory from %d to %d "+
		"MiB, %.1f KiB each\n",
		idleSockets, took.Seconds(), before, after, float64(after-before)*1024/idleSockets)
	return nil
}

// info sends one call and waits for its answer.
func info(ctx context.Context, conn *websocket.Conn, qid int) (time.Duration, error) {
	began := time.Now()
	if err := conn.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `["connection_info",{"qid":%d}]`, qid)); err != nil {
		return 0, err
	}
	_, text, err := conn.Read(ctx)
	if err != nil {
		return 0, err
	}
	var frame []json.RawMessage
	var body struct {
		QID     int  `json:"qid"`
		Success bool `json:"success"`
	}
	if err := json.Unmarshal(text, &frame); err != nil || len(frame) != 2 {
		return 0, fmt.Errorf("invalid frame: %s", text)
	}
	if err := json.Unmarshal(frame[1], &body); err != nil || !body.Success || body.QID != qid {
		return 0, fmt.Errorf("unexpected answer: %s", text)
	}
	return time.Since(began), nil
}

// busy measures calls at a fixed rate over some WebSocket connections.
func (r *rig) busy(ctx context.Context, out io.Writer, addr string) error {
	conns, err := dial(ctx, addr, busySockets)
	defer hangUp(conns)
	if err != nil {
		return err
	}
	const every = time.Second * busySockets / busyRate
	var (
		mu     sync.Mutex
		m      measurement
		failed error
		all    sync.WaitGroup
	)
	for i, conn := range conns {
		all.Go(func() {
			tick := time.NewTicker(every)
			defer tick.Stop()
			for qid := range int(busyFor / every) {
				took, err := info(ctx, conn, i*1_000_000+qid)
				mu.Lock()
				m.latencies = append(m.latencies, took)
				failed = errors.Join(failed, err)
				mu.Unlock()
				if err != nil {
					return
				}
				<-tick.C
			}
		})
	}
	all.Wait()
	fmt.Fprintf(out, "%d calls a second over %d WebSocket connections, %d calls: p50 %s ms, p99 %s ms, slowest %s ms\n",
		busyRate,
		busySockets, m.steps(), ms(m.quantile(0.5)), ms(m.quantile(0.99)), ms(m.quantile(1)))
	return failed
}
