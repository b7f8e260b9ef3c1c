package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
	"go.temporal.io/api/serviceerror"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/deployment"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/transient"
)

// errorKind is the kind of an error that ends a tool, as scripts read it.
type errorKind string

// The kinds of errors.
const (
	kindFailed      errorKind = "failed"
	kindUsage       errorKind = "usage"       // a flag, an argument or a variable is wrong
	kindNotFound    errorKind = "not_found"   // what was named does not exist, or a filter selects nothing
	kindRefused     errorKind = "refused"     // not permitted, or not confirmed: nothing was done
	kindInvalid     errorKind = "invalid"     // what was to be checked or sent is not valid
	kindUnreachable errorKind = "unreachable" // NATS, Temporal or an endpoint did not answer in time
	kindPartly      errorKind = "partly_done" // some of the work was done; the output lists what was not
)

// status returns the exit status of a kind (contract, section 9.3).
func (k errorKind) status() int {
	switch k {
	case kindUsage:
		return 2
	case kindNotFound:
		return 3
	case kindRefused, kindInvalid:
		return 4
	case kindUnreachable:
		return 5
	case kindPartly:
		return 6
	default:
		return 1
	}
}

// toolError is an error with its kind, and what to do about it.
type toolError struct {
	kind  errorKind
	err   error
	hint  string
	quiet bool // the command has already printed it
}

func (e *toolError) Error() string {
	if e.hint == "" {
		return e.err.Error()
	}
	return e.err.Error() + ": " + e.hint
}

func (e *toolError) Unwrap() error { return e.err }

func problem(kind errorKind, format string, args ...any) *toolError {
	return &toolError{kind: kind, err: fmt.Errorf(format, args...)}
}

// do adds what to do about an error.
func (e *toolError) do(hint string) *toolError {
	e.hint = hint
	return e
}

// printed ends a command that has printed its result, errors included.
func printed(kind errorKind) error {
	return &toolError{kind: kind, err: errors.New("see the output"), quiet: true}
}

// classify returns an error with its kind. started reports whether the command had begun: before, only its arguments can
// be wrong.
func classify(err error, started bool) *toolError {
	known, ok := errors.AsType[*toolError](err)
	_, denied := errors.AsType[*serviceerror.PermissionDenied](err)
	_, badOption := errors.AsType[*natsclient.OptionError](err)
	switch {
	case ok:
		return &toolError{kind: known.kind, err: withoutHint(err, known), hint: known.hint, quiet: known.quiet}
	case !started, badOption:
		return &toolError{kind: kindUsage, err: err}
	case missing(err):
		return &toolError{kind: kindNotFound, err: err}
	case denied, natsclient.IsDenied(err), errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrPermissionViolation):
		return &toolError{kind: kindRefused, err: err}
	case errors.Is(err, context.Canceled):
		return &toolError{kind: kindFailed, err: err}
	case errors.Is(err, natsclient.ErrUnreachable), transient.Is(err):
		return &toolError{kind: kindUnreachable, err: err}
	default:
		return &toolError{kind: kindFailed, err: err}
	}
}

// missing reports whether something that was named does not exist: a dead letter, a version, a step, a file, or something
// in Temporal.
func missing(err error) bool {
	_, inTemporal := errors.AsType[*serviceerror.NotFound](err)
	_, namespace := errors.AsType[*serviceerror.NamespaceNotFound](err)
	f, failed := errors.AsType[*fault.Fault](err)
	return inTemporal || namespace || failed && f.Kind == fault.UnknownStep || errors.Is(err, bus.ErrNoDeadLetter) ||
		errors.Is(err, deployment.ErrNoVersion) || errors.Is(err, fs.ErrNotExist)
}

// withoutHint returns an error without the hint at its end, which is printed separately.
func withoutHint(err error, known *toolError) error {
	text := err.Error()
	if known.hint != "" {
		text = strings.TrimSuffix(text, ": "+known.hint)
	}
	return errors.New(text)
}

// report prints an error and returns the exit status: as text to standard error, or as a JSON document to standard
// output, where a script reads the result.
func report(err *toolError, name string, output format, world IO) int {
	if err.quiet {
		return err.kind.status()
	}
	if output != formatJSON {
		fmt.Fprintf(world.Err, "%s: %v\n", name, err)
		return err.kind.status()
	}
	document := map[string]any{"error": map[string]any{"kind": err.kind, "message": err.err.Error(), "hint": err.hint}}
	if failed := printJSON(world.Out, document); failed != nil {
		fmt.Fprintf(world.Err, "%s: %v\n", name, err)
	}
	return err.kind.status()
}

// format is the form of a tool's output.
type format string

// The formats.
const (
	formatText format = "text"
	formatJSON format = "json"
)

// String returns the value of the flag.
func (f *format) String() string { return string(*f) }

// Set sets the value of the flag.
func (f *format) Set(value string) error {
	if !slices.Contains(formats(), value) {
		return errors.New("expected text or json")
	}
	*f = format(value)
	return nil
}

// Type returns what the flag's help shows as its value.
func (f *format) Type() string { return "text|json" }

func formats() []string { return []string{string(formatText), string(formatJSON)} }

// outputOf returns the format that a command was asked for. When its flags could not be read, the arguments decide.
func outputOf(cmd *cobra.Command, args []string) format {
	if flag := cmd.Flag("output"); flag != nil && flag.Changed {
		return format(flag.Value.String())
	}
	for i, arg := range args {
		if arg == "--output=json" || arg == "--output" && i+1 < len(args) && args[i+1] == "json" {
			return formatJSON
		}
	}
	return formatText
}

// printJSON prints one document on one line.
func printJSON(out io.Writer, document any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(document)
}
