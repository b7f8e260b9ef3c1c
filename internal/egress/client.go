package egress

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Client sends requests under one policy. It is safe for concurrent use. A process creates one and closes it at its end.
type Client struct {
	options    Options
	policy     *policy
	dialers    []*net.Dialer     // by class
	transports []*http.Transport // by class
	identities *identities
	creating   sync.Mutex // of a transport for an identity
}

// New returns a new client. An error names the invalid option, and the entry of a list.
func New(o Options) (*Client, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	p, err := newPolicy(o)
	if err != nil {
		return nil, err
	}
	c := &Client{options: o, policy: p, identities: newIdentities()}
	for class := range len(p.entries) + 1 {
		d := c.dialer(p.entry(class))
		c.dialers = append(c.dialers, d)
		c.transports = append(c.transports, c.transport(d))
	}
	return c, nil
}

// Close closes the idle connections; requests in flight complete.
func (c *Client) Close() {
	for _, t := range c.transports {
		t.CloseIdleConnections()
	}
	c.identities.Clear()
}

// transportFor returns the transport of a class of addresses and, when there is one, of an identity.
func (c *Client) transportFor(class int, i *Identity) *http.Transport {
	if i == nil {
		return c.transports[class]
	}
	key := identityKey{class: class, fingerprint: i.fingerprint}
	c.creating.Lock()
	defer c.creating.Unlock()
	if t, ok := c.identities.Get(i.tenant, key); ok {
		return t
	}
	t := c.transport(c.dialers[class])
	i.apply(t)
	c.identities.Put(i.tenant, key, t)
	return t
}

// dialer returns the dialer of one class. Its Control runs for every connect(2), with the address that the kernel receives.
func (c *Client) dialer(class *entry) *net.Dialer {
	return &net.Dialer{
		Timeout:  c.options.ConnectTimeout,
		Resolver: c.options.Resolver,
		Control: func(_, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil {
				return deny(false, "not an address: %s", address)
			}
			if r := c.policy.permit(class, ap); r != nil {
				return r
			}
			if c.options.passed != nil {
				return c.options.passed(address)
			}
			return nil
		},
	}
}

// transport returns a new transport. It has no ResponseHeaderTimeout: the attempt's own timeout bounds the wait for the
// headers, and an endpoint with a timeout of 30 s may use all of it.
func (c *Client) transport(d *net.Dialer) *http.Transport {
	o := c.options
	return &http.Transport{
		Proxy: nil, // behind a proxy the guard would see only the proxy's address
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := d.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &countedConn{Conn: conn}, nil
		},
		TLSClientConfig: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			RootCAs:            o.RootCAs,
			ClientSessionCache: tls.NewLRUClientSessionCache(256),

			GetClientCertificate: askedForCertificate,
		},
		TLSHandshakeTimeout:    o.TLSTimeout,
		DisableCompression:     true,
		MaxIdleConns:           o.MaxIdle,
		MaxIdleConnsPerHost:    o.MaxIdlePerHost,
		MaxConnsPerHost:        o.MaxConnsPerHost,
		IdleConnTimeout:        o.IdleTimeout,
		MaxResponseHeaderBytes: o.HeaderLimit,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
	}
}

// countedConn counts the bytes read and records whether the peer closed the connection: the transport has no typed errors
// for headers that are too large, nor for a truncated status line.
type countedConn struct {
	net.Conn
	read  atomic.Int64
	ended atomic.Bool
}

func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read.Add(int64(n))
	if err != nil {
		c.ended.Store(true)
	}
	return n, err
}
