package fault

import (
	"slices"
	"strings"
)

// Kind is an error code. Codes are only ever added, never changed: they are stored in histories and read by other
// programs (contract, section 7).
type Kind string

// The error codes, in the contract's order.
const (
	DNS                Kind = "dns"
	Connect            Kind = "connect"
	TLS                Kind = "tls"
	Timeout            Kind = "timeout"
	Reset              Kind = "reset"
	Status             Kind = "status"
	Redirect           Kind = "redirect"
	Blocked            Kind = "blocked"
	TooLarge           Kind = "too_large"
	Encoding           Kind = "encoding"
	BadResponse        Kind = "bad_response"
	RateLimited        Kind = "rate_limited"
	CircuitOpen        Kind = "circuit_open"
	Gone               Kind = "gone"
	Expired            Kind = "expired"
	QueueFull          Kind = "queue_full"
	UnknownBot         Kind = "unknown_bot"
	UnknownStep        Kind = "unknown_step"
	BadEvent           Kind = "bad_event"
	Config             Kind = "config"
	ScriptSyntax       Kind = "script_syntax"
	ScriptNoMain       Kind = "script_no_main"
	ScriptException    Kind = "script_exception"
	ScriptCrash        Kind = "script_crash"
	ScriptBadResponse  Kind = "script_bad_response"
	ScriptTimeout      Kind = "script_timeout"
	ScriptCPU          Kind = "script_cpu"
	ScriptMemory       Kind = "script_memory"
	ScriptForbidden    Kind = "script_forbidden"
	SandboxUnavailable Kind = "sandbox_unavailable"
	OutcomeUnknown     Kind = "outcome_unknown"
	Cancelled          Kind = "cancelled"
	Internal           Kind = "internal"
)

// Kinds returns every error code in the contract's order, for schemas, metrics and documentation.
func Kinds() []Kind {
	return []Kind{
		DNS, Connect, TLS, Timeout, Reset, Status, Redirect, Blocked, TooLarge, Encoding, BadResponse, RateLimited,
		CircuitOpen, Gone, Expired, QueueFull, UnknownBot, UnknownStep, BadEvent, Config, ScriptSyntax, ScriptNoMain,
		ScriptException, ScriptCrash, ScriptBadResponse, ScriptTimeout, ScriptCPU, ScriptMemory, ScriptForbidden,
		SandboxUnavailable, OutcomeUnknown, Cancelled, Internal,
	}
}

// Known reports whether k is an error code of the contract.
func (k Kind) Known() bool { return slices.Contains(Kinds(), k) }

// OfScript reports whether a script caused the failure. Only the bot's builder sees the message then.
func (k Kind) OfScript() bool { return strings.HasPrefix(string(k), "script_") }

// Retryable reports whether another attempt can succeed after a failure of this kind: the connection failed before an
// answer, or the endpoint or a limit asked for a later attempt. For Status, see Fault.Retryable.
func (k Kind) Retryable() bool {
	switch k {
	case DNS, Connect, Timeout, Reset, RateLimited, CircuitOpen, SandboxUnavailable, Internal:
		return true
	}
	return false
}
