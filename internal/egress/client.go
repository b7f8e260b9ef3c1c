package egress

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

// Client makes requests under one policy. It is safe for concurrent use; make one a process and Close it at the end.
type Client struct {
	options    Options
	policy     *policy
	dialers    []*net.Dialer     // by class
	transports []*http.Transport // by class
	identities *identities
}

// New makes a client. An error names the option, and the entry of a list, that is wrong.
func New(o Options) (*Client, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	p, err := newPolicy(o)
	if err != nil {
		return nil, err
	}
	c := &Client{options: o, policy: p, identities: &identities{}}
	for class := range len(p.entries) + 1 {
		d := c.dialer(p.entry(class))
		c.dialers = append(c.dialers, d)
		c.transports = append(c.transports, c.transport(d))
	}
	return c, nil
}

// Close closes the connections that no request uses; requests under way go on to their end.
func (c *Client) Close() {
	for _, t := range c.transports {
		t.CloseIdleConnections()
	}
	c.identities.close()
}

// transportFor is the transport of a class of addresses and, when there is one, of an identity.
func (c *Client) transportFor(class int, i *Identity) *http.Transport {
	if i == nil {
		return c.transports[class]
	}
	return c.identities.transport(class, i, func() *http.Transport { return c.transport(c.dialers[class]) })
}

// dialer makes connections of one class. Its Control runs for every connect(2), with the address the kernel will get.
func (c *Client) dialer(class *entry) *net.Dialer {
	return &net.Dialer{
		Timeout:  c.options.ConnectTimeout,
		Resolver: c.options.Resolver,
		Control: func(_, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil {
				return refuse(false, "not an address: %s", address)
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

// transport has no ResponseHeaderTimeout: the attempt's own timeout bounds the wait for the headers, and an endpoint that
// was given 30 s may use them.
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

// countedConn knows what it has read and whether the other end has gone: the transport has no typed errors for headers that
// are too large, nor for a status line that broke off.
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
