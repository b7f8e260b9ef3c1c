package schemas

import (
	"bytes"
	"encoding/json"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hookturn/hookturn/internal/strictjson"
)

// scanner reads the members of an event: its text by the rules of strictjson, where a repeated name is an error, and the
// values by those of the contract.
type scanner struct{ *strictjson.Scanner }

func newScanner(raw []byte) scanner {
	return scanner{strictjson.NewScanner(raw, strictjson.DuplicatesRejected)}
}

// text reads a string that is a value.
func (s scanner) text() (string, error) { return s.Text(strictjson.AsValue) }

// name reads a string that something is known by.
func (s scanner) name() (string, error) { return s.Text(strictjson.AsName) }

// label reads a string that names something: not empty, at most limit characters, no control characters.
func (s scanner) label(limit int) (string, error) {
	text, err := s.name()
	switch {
	case err != nil:
		return "", err
	case text == "":
		return "", invalid("must not be empty")
	case len(text) > limit && utf8.RuneCountInString(text) > limit:
		return "", invalid("must have at most %d characters", limit)
	case strings.ContainsFunc(text, isControl):
		return "", invalid("must not hold control characters")
	}
	return text, nil
}

func isControl(r rune) bool { return r < ' ' || r >= 0x7f && r <= 0x9f }

// time reads a point in time.
func (s scanner) time() (time.Time, error) {
	text, err := s.text()
	if err != nil {
		return time.Time{}, err
	}
	at, ok := parseTime(text)
	if !ok {
		return time.Time{}, invalid("must be a time as RFC 3339 has it, such as 2026-11-20T12:00:00Z")
	}
	return at, nil
}

// integer reads a whole number from 0 to limit.
func (s scanner) integer(limit int64) (int64, error) {
	text, err := s.Number("an integer")
	if err != nil {
		return 0, err
	}
	n, ok := wholeNumber(text, limit)
	if !ok {
		return 0, invalid("must be an integer from 0 to %s", strconv.FormatInt(limit, 10))
	}
	return n, nil
}

// value reads any value and keeps its bytes.
func (s scanner) value() (json.RawMessage, error) {
	start := s.Pos()
	err := s.Skip()
	return bytes.Clone(s.Since(start)), err
}

// wholeNumber is the value of a JSON number that is an integer from 0 to limit, however it is written: 3, 3.0 and 30e-1
// are one number to JSON Schema, too.
func wholeNumber(text string, limit int64) (int64, bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, n >= 0 && n <= limit
	}
	if _, exponent, _ := strings.Cut(strings.ToLower(text), "e"); len(exponent) > exponentMax || len(text) > numberMax {
		return 0, false
	}
	n, ok := new(big.Rat).SetString(text)
	if !ok || !n.IsInt() || !n.Num().IsInt64() {
		return 0, false
	}
	return n.Num().Int64(), n.Sign() >= 0 && n.Num().Int64() <= limit
}

// Bounds on the texts that wholeNumber computes exactly, so that 1e999999 costs nothing: an exponent of three
// characters, sign included, reaches beyond every integer that a member may have.
const (
	exponentMax = 3
	numberMax   = 64
)
