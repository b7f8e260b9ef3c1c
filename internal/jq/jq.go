// Package jq runs the jq programs of bot files with limits on time and memory.
//
// A short jq program can allocate gigabytes or run forever, and an interpreter cannot be stopped in the middle of an
// instruction. Programs therefore run in separate processes: copies of this program without an environment, which the
// operating system limits to 256 MiB of memory. A process whose program runs for more than 250 ms is killed and replaced.
// A run adds 0.1 to 0.2 ms to the time of the program.
package jq

import (
	"errors"
	"fmt"
	"strings"

	"github.com/itchyny/gojq"
)

// ProgramMax is the longest program, in bytes.
const ProgramMax = 16 << 10

// impure lists functions whose result does not depend on the input only: every attempt of a step must send the same bytes.
// gojq itself rejects modules, input and inputs, and the environment of a program is always empty.
var impure = []string{
	"now", "localtime", "strflocaltime", "debug", "stderr", "input_filename", "halt", "halt_error", "get_search_list", "env",
	"$ENV",
}

// Check returns an error when a program is not valid: a syntax error with its place, or a function or variable that is
// unknown or not allowed.
func Check(program string) error {
	_, err := compile(program)
	return err
}

func compile(program string) (*gojq.Code, error) {
	if len(program) > ProgramMax {
		return nil, fmt.Errorf("is longer than %d bytes", ProgramMax)
	}
	query, err := gojq.Parse(program)
	if err != nil {
		return nil, syntaxError(program, err)
	}
	options := []gojq.CompilerOption{gojq.WithEnvironLoader(func() []string { return nil })}
	names := namesOf(query)
	for _, name := range impure {
		if names.foreign(name) {
			return nil, fmt.Errorf("uses %s: a program may depend on its input alone", name)
		}
	}
	code, err := gojq.Compile(query, options...)
	if err != nil {
		return nil, fmt.Errorf("does not compile: %w", err)
	}
	return code, nil
}

// syntaxError adds line and column to an error. gojq's offset is the end of the unexpected token.
func syntaxError(program string, err error) error {
	var parse *gojq.ParseError
	if !errors.As(err, &parse) {
		return fmt.Errorf("is not a valid jq program: %w", err)
	}
	at := max(0, min(parse.Offset-len(parse.Token), len(program)))
	line := 1 + strings.Count(program[:at], "\n")
	column := at - strings.LastIndex(program[:at], "\n")
	if parse.Token == "" {
		return fmt.Errorf("line %d, column %d: the program ends too early", line, column)
	}
	return fmt.Errorf("line %d, column %d: %q cannot stand here", line, column, parse.Token)
}
