package telemetry

import (
	"context"
	"fmt"
	"log" //nolint:depguard // taken over here, so that nothing is logged past the injected logger
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/grpclog"
)

// libraries is where messages of libraries go that have no logger of their own; nil: nowhere.
var libraries atomic.Pointer[slog.Logger]

var capture = sync.OnceFunc(func() {
	log.SetFlags(0)
	log.SetOutput(standardLog{})
	grpclog.SetLoggerV2(grpcLog{})
})

// CaptureLibraries takes over the loggers that libraries share: the log package's and gRPC's. Until LibrariesTo names a
// logger their messages are dropped. It comes first in a process, before any library works.
func CaptureLibraries() { capture() }

// LibrariesTo sends what libraries report to a logger, at level debug.
func LibrariesTo(logger *slog.Logger) { libraries.Store(logger) }

// ServerLog returns the logger for the field ErrorLog of an HTTP server: clients that hang up or send what is no HTTP are
// reported at level debug.
func ServerLog(logger *slog.Logger) *log.Logger {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return slog.NewLogLogger(logger.Handler(), slog.LevelDebug)
}

func libraryMessage(from, text string) {
	if logger := libraries.Load(); logger != nil {
		logger.Log(context.Background(), slog.LevelDebug, "library message", "library", from, "message", text)
	}
}

// standardLog takes what libraries print with the log package. net/http prints bytes there that an endpoint has sent
// unasked, so the text is dropped: who printed it, and how much, is kept.
type standardLog struct{}

// Write takes one message.
func (standardLog) Write(message []byte) (int, error) {
	libraryMessage(printer(), fmt.Sprintf("not shown: %d bytes", len(message)))
	return len(message), nil
}

// printer is the function that has called the log package.
func printer() string {
	var callers [32]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers[:])])
	for {
		frame, more := frames.Next()
		if !strings.HasPrefix(frame.Function, "log.") && !strings.Contains(frame.Function, "telemetry.") {
			return frame.Function
		}
		if !more {
			return "unknown"
		}
	}
}

// grpcLog takes gRPC's messages, which are about its own connections.
type grpcLog struct{}

func (grpcLog) Info(...any)          {}
func (grpcLog) Infoln(...any)        {}
func (grpcLog) Infof(string, ...any) {}
func (grpcLog) Warning(args ...any)  { libraryMessage("grpc", fmt.Sprint(args...)) }
func (grpcLog) Warningln(args ...any) {
	libraryMessage("grpc", strings.TrimSpace(fmt.Sprintln(args...)))
}
func (grpcLog) Error(args ...any)   { libraryMessage("grpc", fmt.Sprint(args...)) }
func (grpcLog) Errorln(args ...any) { libraryMessage("grpc", strings.TrimSpace(fmt.Sprintln(args...))) }
func (grpcLog) Fatal(args ...any)   { panic(fmt.Sprint(args...)) }
func (grpcLog) Fatalln(args ...any) { panic(fmt.Sprintln(args...)) }
func (grpcLog) V(int) bool          { return false }

func (grpcLog) Warningf(format string, args ...any) {
	libraryMessage("grpc", fmt.Sprintf(format, args...))
}
func (grpcLog) Errorf(format string, args ...any) {
	libraryMessage("grpc", fmt.Sprintf(format, args...))
}
func (grpcLog) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
