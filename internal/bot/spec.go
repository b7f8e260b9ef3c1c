package bot

import (
	"slices"
	"strings"
	"time"
)

// Spec is what bot files need to know of a dialect. Each package of a dialect has one; internal/dialects lists them.
type Spec struct {
	// Name is the value of the key dialect.
	Name string
	// PartOf names the section of bot files whose requests are in this dialect, such as adapter; "" = webhook steps.
	PartOf string

	// Timeout, AttemptTimeout, MaxAttempts, OnFailure and Signature are the defaults of the keys of the same names.
	// Signature is for steps with a secret; empty = such a step must name its scheme.
	Timeout        time.Duration
	AttemptTimeout time.Duration
	MaxAttempts    int
	OnFailure      string
	Signature      []string

	// TimeoutMax is the longest timeout of a step; 0 = 10 minutes.
	TimeoutMax time.Duration
	// Keys are the keys of webhook that only some dialects have, and this one has: params, request, response.
	Keys []string
	// Channels are the values of the key channel of an adapter; empty = any.
	Channels []string
}

// defaults returns what a webhook step does when its bot file does not set it.
func (s Spec) defaults() defaults {
	return defaults{Duration(s.Timeout), Duration(s.AttemptTimeout), s.MaxAttempts, s.OnFailure, s.Signature}
}

func (s Spec) timeoutMax() Duration {
	if s.TimeoutMax == 0 {
		return timeoutMax
	}
	return Duration(s.TimeoutMax)
}

// specs are the dialects that bot files can name.
type specs []Spec

// get returns a dialect by its name. One that is unknown, which is a problem of its file, has the values of Haptik's.
func (s specs) get(name string) Spec {
	at := slices.IndexFunc(s, func(one Spec) bool { return one.Name == name })
	switch {
	case at >= 0:
		return s[at]
	case name == DialectHaptik:
		return Spec{}
	}
	return s.get(DialectHaptik)
}

// names lists the values of the key dialect: those of the dialects, and channel, which only channels have.
func (s specs) names() []string {
	names := make([]string, 0, len(s)+1)
	for _, one := range s {
		names = append(names, one.Name)
	}
	return append(names, DialectChannel)
}

// with returns the names of the dialects that have a key.
func (s specs) with(key string) string {
	var names []string
	for _, one := range s {
		if slices.Contains(one.Keys, key) {
			names = append(names, one.Name)
		}
	}
	return strings.Join(names, " and ")
}

// partOf is the section of a bot file that a dialect without webhook steps belongs to; "" = webhook steps have it.
func (s specs) partOf(name string) string {
	if name == DialectChannel {
		return DialectChannel
	}
	return s.get(name).PartOf
}

// belongs checks that the dialect of a step has a key, which is one of those that only some dialects have.
func (c *checker) belongs(path, key, dialect string) bool {
	if slices.Contains(c.dialects.get(dialect).Keys, key) {
		return true
	}
	c.problem(path, "belongs to the %s dialect: this step speaks %s", c.dialects.with(key), quote(dialect))
	return false
}
