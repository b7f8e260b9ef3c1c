package telemetry

import (
	"context"
	"fmt"
	"log" //nolint:depguard // captured here, so that all messages pass through the injected logger
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/grpclog"
)

// libraries receives the messages of libraries that use a global logger. When it is nil they are dropped.
var libraries atomic.Pointer[slog.Logger]

var capture = sync.OnceFunc(func() {
	log.SetFlags(0)
	log.SetOutput(standardLog{})
	grpclog.SetLoggerV2(grpcLog{})
})

// CaptureLibraries replaces the global loggers of the log package and of gRPC. Their messages are dropped until LibrariesTo
// sets a logger. Call it at the start of a process, before any library runs.
func CaptureLibraries() { capture() }

// LibrariesTo sets the logger for messages of libraries. They have the level debug.
func LibrariesTo(logger *slog.Logger) { libraries.Store(logger) }

// ServerLog returns the logger for the field ErrorLog of an HTTP server. It logs closed connections and invalid requests at
// level debug.
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

// standardLog receives the output of the log package. net/http prints unsolicited bytes of an endpoint there, so the text is
// dropped: only the printing function and the size are logged.
type standardLog struct{}

// Write logs one message without its text.
func (standardLog) Write(message []byte) (int, error) {
	libraryMessage(printer(), fmt.Sprintf("%d bytes omitted", len(message)))
	return len(message), nil
}

// printer returns the name of the function that called the log package.
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

// grpcLog receives the messages of gRPC, which are about its own connections.
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
