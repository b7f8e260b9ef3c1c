package jq

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/itchyny/gojq"
)

// childVariable makes a program that contains this package a process of a Pool, and nothing else.
const childVariable = "HOOKTURN_JQ_PROCESS"

const (
	memoryMax = 256 << 20
	outputMax = 1 << 20
	// compiledMax is how many programs a process keeps compiled.
	compiledMax = 256
)

// Every program that contains this package can be started as such a process, tests as well, so it cannot be left to
// each main function.
func init() { //nolint:gochecknoinits // see above
	if os.Getenv(childVariable) == "" {
		return
	}
	limit()
	serve(os.Stdin, os.Stdout)
	os.Exit(0)
}

// limit bounds the process. RLIMIT_DATA counts what is written to, which for Go is its heap and stacks.
func limit() {
	debug.SetGCPercent(50)
	debug.SetMemoryLimit(memoryMax / 2)
	most := syscall.Rlimit{Cur: memoryMax, Max: memoryMax}
	if !raceDetector { // which reserves more than that for itself
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
		// The other side kills a process that takes too long. Should it be gone itself, this ends what it left behind.
		orphan := time.AfterFunc(4*runTimeout, func() { os.Exit(1) })
		code := compiled[r.Program]
		if code == nil {
			code, _ = compile(r.Program)
			if len(compiled) >= compiledMax {
				clear(compiled)
			}
			compiled[r.Program] = code
		}
		answer := evaluate(code, r.Input)
		if writeFrame(out, answer) != nil {
			return
		}
		orphan.Stop()
	}
}

func evaluate(code *gojq.Code, input []byte) response {
	value, err := decode(input)
	if err != nil || code == nil {
		return response{Error: "failed"}
	}
	ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
	defer cancel()
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

// decode keeps numbers as they are written.
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
