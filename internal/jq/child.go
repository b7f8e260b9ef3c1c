package jq

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"runtime/debug"
	"syscall"

	"github.com/itchyny/gojq"
)

// childVariable is the environment variable that turns a program with this package into a process of a Pool.
const childVariable = "HOOKTURN_JQ_PROCESS"

const (
	memoryMax = 256 << 20
	outputMax = 1 << 20
	// compiledMax is the number of compiled programs that a process keeps.
	compiledMax = 256
)

// An init function does this, not each main function: every program with this package can be started as a process of a pool,
// including tests.
func init() { //nolint:gochecknoinits // see above
	if os.Getenv(childVariable) == "" {
		return
	}
	limit()
	serve(os.Stdin, os.Stdout)
	os.Exit(0)
}

// limit limits the memory of the process. RLIMIT_DATA counts the heap and the stacks of Go.
func limit() {
	debug.SetGCPercent(50)
	debug.SetMemoryLimit(memoryMax / 2)
	most := syscall.Rlimit{Cur: memoryMax, Max: memoryMax}
	if !raceDetector { // the race detector reserves more memory than the limit
		_ = syscall.Setrlimit(syscall.RLIMIT_DATA, &most)
	}
	none := syscall.Rlimit{}
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &none)
}

// serve answers requests until the other side closes its end.
func serve(in io.Reader, out io.Writer) {
	compiled := map[string]*gojq.Code{}
	for {
		var r request
		if readFrame(in, &r) != nil {
			return
		}
		ctx, stop := watch(r.Longest)
		code := compiled[r.Program]
		if code == nil {
			code, _ = compile(r.Program)
			if len(compiled) >= compiledMax {
				clear(compiled)
			}
			compiled[r.Program] = code
		}
		answer := evaluate(ctx, code, r.Input)
		if writeFrame(out, answer) != nil {
			return
		}
		stop()
	}
}

func evaluate(ctx context.Context, code *gojq.Code, input []byte) response {
	value, err := decode(input)
	if err != nil || code == nil {
		return response{Error: "failed"}
	}
	results := code.RunWithContext(ctx, value)
	result, ok := results.Next()
	if !ok {
		return response{Error: "none"}
	}
	if failure, failed := result.(error); failed {
		if ctx.Err() != nil && failure != nil {
			return response{Error: "slow"}
		}
		return response{Error: "failed"}
	}
	if second, more := results.Next(); more {
		if _, failed := second.(error); failed {
			return response{Error: "failed"}
		}
		return response{Error: "several"}
	}
	output, err := gojq.Marshal(result)
	switch {
	case err != nil:
		return response{Error: "failed"}
	case len(output) > outputMax:
		return response{Error: "long"}
	}
	return response{Output: output}
}

// decode keeps the text of numbers.
func decode(input []byte) (any, error) {
	if len(input) == 0 {
		return nil, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(input))
	decoder.UseNumber()
	var value any
	err := decoder.Decode(&value)
	return value, err
}
