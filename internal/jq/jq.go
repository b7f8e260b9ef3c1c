// Package jq runs jq programs of bot files, bounded in time and memory.
//
// A few characters of jq make gigabytes or run for ever, and no interpreter inside a process can be stopped in the
// middle of one instruction. So programs run in processes of their own: copies of this program that do nothing else,
// inherit no environment, and are bounded by the operating system (256 MiB of memory). One that takes longer than a
// quarter of a second is killed and replaced. A run costs a tenth of a millisecond or two beside the program's own
// time.
package jq

import (
	"errors"
	"fmt"
	"strings"

	"github.com/itchyny/gojq"
)

// ProgramMax is the longest program, in bytes.
const ProgramMax = 16 << 10

// impure are functions whose result depends on more than their input: every attempt of a step must send the same bytes.
// gojq refuses modules, input and inputs by itself, and the environment of a program is always empty.
var impure = []string{
	"now", "localtime", "strflocaltime", "debug", "stderr", "input_filename", "halt", "halt_error", "get_search_list", "env",
	"$ENV",
}

// Check says why a program could not run: where it breaks the grammar, or which function or variable it uses that is
// unknown or not allowed. nil when it can.
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
	for _, name := range impure {
		if uses(query, name) {
			return nil, fmt.Errorf("uses %s: a program may depend on its input alone", name)
		}
	}
	code, err := gojq.Compile(query, options...)
	if err != nil {
		return nil, fmt.Errorf("does not compile: %w", err)
	}
	return code, nil
}

// syntaxError gives the place inside the program; gojq's offset is the end of the token that cannot stand there.
func syntaxError(program string, err error) error {
	var parse *gojq.ParseError
	if !errors.As(err, &parse) {
		return fmt.Errorf("is no jq program: %w", err)
	}
	at := max(0, min(parse.Offset-len(parse.Token), len(program)))
	line := 1 + strings.Count(program[:at], "\n")
	column := at - strings.LastIndex(program[:at], "\n")
	if parse.Token == "" {
		return fmt.Errorf("line %d, column %d: the program ends too early", line, column)
	}
	return fmt.Errorf("line %d, column %d: %q cannot stand here", line, column, parse.Token)
}
