package schemas

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/hookturn/hookturn/internal/strictjson"
)

// InvalidError describes where an event is wrong and what would be right. It travels in the header Hookturn-Detail of a dead
// letter to the developer of the bot engine, so it names members and never holds a value from the message.
type InvalidError struct {
	Pointer string // JSON pointer (RFC 6901) to the offending value; "" is the whole message
	Message string // what is wrong with it, as the rest of a sentence that begins with the pointer
}

// Error fits one line and a NATS header whatever the names in the pointer are.
func (e *InvalidError) Error() string {
	if e.Pointer == "" {
		return "event " + e.Message
	}
	return printable(e.Pointer) + " " + e.Message
}

func invalid(format string, args ...any) error {
	return &InvalidError{Message: fmt.Sprintf(format, args...)}
}

// under moves an error one level down: what was found at "/x" inside the member name is wrong at "/name/x".
func under(name string, err error) error { return strictjson.Under(name, err) }

// asInvalid returns an error with the way to the value that is wrong, if any, as an *InvalidError.
func asInvalid(err error) error {
	if err == nil {
		return nil
	}
	e, pointer := err, ""
	if at, ok := errors.AsType[*strictjson.Error](err); ok {
		e, pointer = at.Err, at.Pointer
	}
	return &InvalidError{Pointer: pointer, Message: message(e)}
}

func message(err error) string {
	if e, ok := errors.AsType[*InvalidError](err); ok {
		return e.Message
	}
	return err.Error()
}

// pointerShown is how much of a pointer an error text shows; names can be as long as a message.
const pointerShown = 200

// printable cuts a pointer to a readable length and quotes what would break a line, a header or a terminal.
func printable(pointer string) string {
	quoted := strconv.QuoteToGraphic(pointer)
	quoted = quoted[1 : len(quoted)-1]
	if len(quoted) <= pointerShown {
		return quoted
	}
	return strings.ToValidUTF8(quoted[:pointerShown], "") + "…"
}
