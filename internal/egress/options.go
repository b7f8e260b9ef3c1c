package egress

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"net"
	"time"

	"github.com/hookturn/hookturn/internal/header"
)

// MaxBody is the largest body limit that a request can ask for: a body must become a Temporal result, which ends at 2 MiB
// and warns at 512 KiB.
const MaxBody = 1 << 20

// Options is the operator's policy and the limits. The zero value reaches the public internet by https and nothing else.
// Every limit that is 0 has the default that its comment names; a negative one is an error.
type Options struct {
	// Allow lists what may be reached besides the public internet, as host-or-CIDR[:port]; without a port, every port.
	//
	// A host allows whatever address it has, except cloud metadata services. A CIDR allows its addresses, also when a
	// name resolves to them; a range never includes this machine's own addresses or metadata services, which must be
	// listed one by one. Only operators write this list, never tenants.
	Allow []string
	// Deny lists addresses or CIDRs that are denied, even when the allow list includes them.
	Deny []string
	// AllowPlainHTTP allows http:// to every address. Without it, http:// is allowed only to the entries of Allow: an
	// operator who lists an internal address accepts an unencrypted connection to it.
	AllowPlainHTTP bool
	// AllowLoopback allows 127.0.0.0/8, ::1 and localhost on every port, for a development stack.
	AllowLoopback bool
	// Ports may be used on the public internet; nil is 443, 80 and 8443.
	Ports []uint16

	UserAgent string         // "hookturn"; a request's own User-Agent header has priority
	RootCAs   *x509.CertPool // nil = the system's
	Resolver  *net.Resolver  // nil = Go's own resolver: unusual host names must not depend on the C library

	Timeout        time.Duration // of an attempt without a timeout: 15 s
	MaxTimeout     time.Duration // longest timeout of an attempt, longer ones are cut to it: 2 min; at most 10 min
	ConnectTimeout time.Duration // DNS and connect together: 3 s; at most 1 min
	TLSTimeout     time.Duration // TLS handshake: 5 s; at most 1 min
	IdleTimeout    time.Duration // how long an unused connection is kept: 60 s; at most 10 min

	RequestLimit int64 // request body: 512 KiB; at most 8 MiB
	BodyLimit    int64 // response body of a request that names no limit: 256 KiB; at most MaxBody
	HeaderLimit  int64 // response headers, informational answers included: 64 KiB; at most 1 MiB

	// MaxConnsPerHost bounds the connections to one host; 0 = unlimited. The default is unlimited because a request would
	// spend its deadline waiting for a connection in a queue that no metric shows: the worker and the per-endpoint limits
	// bound the steps in flight.
	MaxConnsPerHost int
	// MaxIdlePerHost bounds the idle connections to one host: 128. After a larger burst, the client closes the surplus.
	MaxIdlePerHost int
	// MaxIdle bounds all idle connections: 1024.
	MaxIdle int

	// passed, when set, is called for each address that the policy allows. Tests count the calls, and deny them, so that
	// no test sends a packet off the machine.
	passed func(address string) error
}

func (o Options) withDefaults() Options {
	o.UserAgent = cmp.Or(o.UserAgent, "hookturn")
	o.Timeout = cmp.Or(o.Timeout, 15*time.Second)
	o.MaxTimeout = cmp.Or(o.MaxTimeout, 2*time.Minute)
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, 3*time.Second)
	o.TLSTimeout = cmp.Or(o.TLSTimeout, 5*time.Second)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, time.Minute)
	o.RequestLimit = cmp.Or(o.RequestLimit, 512<<10)
	o.BodyLimit = cmp.Or(o.BodyLimit, 256<<10)
	o.HeaderLimit = cmp.Or(o.HeaderLimit, 64<<10)
	o.MaxIdlePerHost = cmp.Or(o.MaxIdlePerHost, 128)
	o.MaxIdle = cmp.Or(o.MaxIdle, 1024)
	if o.Ports == nil {
		o.Ports = []uint16{443, 80, 8443}
	}
	if o.Resolver == nil {
		o.Resolver = &net.Resolver{PreferGo: true}
	}
	return o
}

// validate checks options that have their defaults.
func (o Options) validate() error {
	for _, l := range []struct {
		name       string
		value, max int64
	}{
		{"Timeout", int64(o.Timeout), int64(o.MaxTimeout)},
		{"MaxTimeout", int64(o.MaxTimeout), int64(10 * time.Minute)},
		{"ConnectTimeout", int64(o.ConnectTimeout), int64(time.Minute)},
		{"TLSTimeout", int64(o.TLSTimeout), int64(time.Minute)},
		{"IdleTimeout", int64(o.IdleTimeout), int64(10 * time.Minute)},
		{"RequestLimit", o.RequestLimit, 8 << 20},
		{"BodyLimit", o.BodyLimit, MaxBody},
		{"HeaderLimit", o.HeaderLimit, 1 << 20},
		{"MaxConnsPerHost", int64(o.MaxConnsPerHost), 1 << 16},
		{"MaxIdlePerHost", int64(o.MaxIdlePerHost), 1 << 16},
		{"MaxIdle", int64(o.MaxIdle), 1 << 20},
	} {
		if l.value < 0 || l.value > l.max {
			return fmt.Errorf("egress: %s is %d: it must be between 0 (the default) and %d", l.name, l.value, l.max)
		}
	}
	if _, err := header.CheckSent("User-Agent", o.UserAgent); err != nil {
		return fmt.Errorf("egress: UserAgent %w", err)
	}
	return nil
}
