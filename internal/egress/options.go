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
	// A host stands for itself, whatever address it has, except cloud metadata services. A CIDR stands for its addresses,
	// also when a name leads to them; a range never includes this machine's own addresses or metadata services, which
	// must be listed one by one. Only operators write this list, never tenants.
	Allow []string
	// Deny lists addresses or CIDRs that are refused whatever else is said, the allow list included.
	Deny []string
	// AllowPlainHTTP lets http:// through to every address. Without it http goes only where an allow entry leads: who lists
	// an address of the own network answers for how it is reached.
	AllowPlainHTTP bool
	// AllowLoopback allows 127.0.0.0/8, ::1 and localhost on every port, for a development stack.
	AllowLoopback bool
	// Ports may be used on the public internet; nil is 443, 80 and 8443.
	Ports []uint16

	UserAgent string         // "hookturn"; a request's own User-Agent header wins
	RootCAs   *x509.CertPool // nil = the system's
	Resolver  *net.Resolver  // nil = Go's own resolver: how odd host names end must not depend on the C library

	Timeout        time.Duration // of an attempt that names none: 15 s
	MaxTimeout     time.Duration // longest timeout of an attempt, longer ones are cut to it: 2 min; at most 10 min
	ConnectTimeout time.Duration // DNS and connect together: 3 s; at most 1 min
	TLSTimeout     time.Duration // TLS handshake: 5 s; at most 1 min
	IdleTimeout    time.Duration // how long an unused connection is kept: 60 s; at most 10 min

	RequestLimit int64 // request body: 512 KiB; at most 8 MiB
	BodyLimit    int64 // response body of a request that names no limit: 256 KiB; at most MaxBody
	HeaderLimit  int64 // response headers, informational answers included: 64 KiB; at most 1 MiB

	// MaxConnsPerHost bounds the connections to one host; 0 is no bound. There is none by default because a request that
	// waits for a connection spends its deadline in a queue nobody sees: how many steps are in flight is bounded by the
	// worker, and by the per-endpoint limits in front of this package.
	MaxConnsPerHost int
	// MaxIdlePerHost bounds the unused connections kept to one host: 128. A burst that is wider closes the surplus and
	// pays a new handshake next time.
	MaxIdlePerHost int
	// MaxIdle bounds the unused connections kept in all: 1024.
	MaxIdle int

	// passed, when set, is asked about each address after the guard let it through. Tests count there, and refuse, so that
	// no test ever sends a packet off the machine.
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

// validate is for options with their defaults filled in.
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
