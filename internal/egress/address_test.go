package egress

import (
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
)

// denied are addresses that no webhook may reach, in every spelling we know.
var denied = []string{
	"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.0.0.53",
	"127.255.255.254", "168.63.129.16", "169.254.0.1", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.254",
	"192.0.0.1", "192.0.0.192", "192.0.2.1", "192.31.196.1", "192.52.193.1", "192.88.99.1", "192.168.0.1",
	"192.168.255.255", "192.175.48.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1",
	"239.255.255.255", "240.0.0.1", "255.255.255.255",
	"[::]", "[::1]", "[::127.0.0.1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:10.0.0.1]",
	"[::ffff:169.254.169.254]", "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::1]", "[100::1]", "[100:0:0:1::1]",
	"[2001::1]", "[2001:db8::1]", "[2002:7f00:1::1]", "[2002:a9fe:a9fe::]", "[2620:4f:8000::1]", "[3fff::1]", "[5f00::1]",
	"[fc00::1]", "[fd00:ec2::254]", "[fd20:ce::254]", "[fe80::1]", "[fec0::1]", "[ff02::1]",
}

// odd are hosts that some resolver or browser reads as an address of the list above.
var odd = []string{
	"127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "127.0.0.01", "0", "0x", "127.0.0.1.",
	"①②⑦.⓪.⓪.①", "127。0。0。1", "１２７.0.0.1", "127.0.0.1%00.example.com", "[fe80::1%25eth0]", "[::1%25lo]", "127.0.0.0x1",
}

var public = []string{
	"1.1.1.1", "8.8.8.8", "93.184.215.14", "172.32.0.1", "[2606:4700:4700::1111]", "[2001:4860:4860::8888]",
}

// canary is a server that must not be reached, and a client that reaches it when the policy allows the address.
type canary struct {
	client *Client
	server *rawServer
	passed atomic.Int64
}

func newCanary(t *testing.T, table map[string]string, change func(*Options)) *canary {
	t.Helper()
	k := &canary{server: serveRaw(t, func(net.Conn, int64) {})}
	o := Options{AllowPlainHTTP: true, Ports: []uint16{k.server.port}, Resolver: resolver(t, names(table))}
	if change != nil {
		change(&o)
	}
	o.passed = func(string) error {
		k.passed.Add(1)
		return syscall.ECONNREFUSED
	}
	k.client = newClient(t, o)
	return k
}

func (k *canary) requireUntouched(t *testing.T) {
	t.Helper()
	require.Zero(t, k.passed.Load(), "the guard let a connection through")
	require.Zero(t, k.server.accepted.Load(), "the canary was reached")
}

func TestAddress_DeniedAddresses(t *testing.T) {
	t.Parallel()
	require.GreaterOrEqual(t, len(denied), 49)
	table := map[string]string{}
	for i, address := range denied {
		table[name(i)] = strings.Trim(address, "[]")
	}
	k := newCanary(t, table, nil)
	for i, address := range denied {
		_, a, err := call(t, k.client, hostURL(address, k.server.port, "/?q=s3cret"))
		f := requireFault(t, fault.Blocked, err, a)
		require.False(t, f.Retryable())
		require.Contains(t, f.Message, "--egress-allow", address)

		_, a, err = call(t, k.client, hostURL(name(i), k.server.port, "/?q=s3cret"))
		f = requireFault(t, fault.Blocked, err, a)
		require.Contains(t, f.Message, "--egress-allow "+name(i), address)
		require.NotContains(t, f.Message, table[name(i)], "the message must not map the operator's network")
	}
	k.requireUntouched(t)
}

func name(i int) string { return "n" + strings.Repeat("x", i) + ".example.com" }

func TestAddress_OddSpellings(t *testing.T) {
	t.Parallel()
	k := newCanary(t, nil, nil)
	for _, host := range odd {
		_, a, err := call(t, k.client, hostURL(host, k.server.port, "/"))
		requireFault(t, fault.Config, err, a)
	}
	k.requireUntouched(t)
}

func TestAddress_PublicAddressesPass(t *testing.T) {
	t.Parallel()
	table := map[string]string{}
	for i, address := range public {
		table[name(i)] = strings.Trim(address, "[]")
	}
	k := newCanary(t, table, nil)
	for i, address := range public {
		_, a, err := call(t, k.client, hostURL(address, k.server.port, "/"))
		requireFault(t, fault.Connect, err, a) // the test's hook denies after the policy
		_, a, err = call(t, k.client, hostURL(name(i), k.server.port, "/"))
		requireFault(t, fault.Connect, err, a)
	}
	require.EqualValues(t, 2*len(public), k.passed.Load())
}

func TestAddress_Rebinding(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	k := newCanary(t, nil, func(o *Options) {
		o.Resolver = resolver(t, func(string) []netip.Addr {
			if asked.Add(1)%4 < 2 { // A and AAAA are asked for each look-up
				return []netip.Addr{netip.MustParseAddr("127.0.0.1")}
			}
			return []netip.Addr{netip.MustParseAddr("8.8.8.8")}
		})
	})
	for range 10 {
		_, _, err := call(t, k.client, hostURL("rebind.example.com", k.server.port, "/"))
		require.Error(t, err)
	}
	require.Zero(t, k.server.accepted.Load())
}

func TestAddress_LocalhostIsBlockedWithAHint(t *testing.T) {
	t.Parallel()
	k := newCanary(t, nil, nil)
	_, a, err := call(t, k.client, hostURL("localhost", k.server.port, "/"))
	f := requireFault(t, fault.Blocked, err, a)
	require.Contains(t, f.Message, "--egress-allow localhost:")
	k.requireUntouched(t)
}

func TestAddress_DenyListWins(t *testing.T) {
	t.Parallel()
	k := newCanary(t, map[string]string{"denied.example.com": "8.8.4.4"}, func(o *Options) {
		o.Deny = []string{"8.8.0.0/16", "127.0.0.1", "2606:4700::/32"}
		o.Allow = []string{"127.0.0.1", "denied.example.com"}
	})
	for _, host := range []string{"8.8.8.8", "127.0.0.1", "denied.example.com", "[2606:4700:4700::1111]"} {
		_, a, err := call(t, k.client, hostURL(host, k.server.port, "/"))
		f := requireFault(t, fault.Blocked, err, a)
		require.Contains(t, f.Message, "deny list")
	}
	k.requireUntouched(t)
}

func TestOwnAddresses(t *testing.T) {
	t.Parallel()
	own := func(text string, err error) *ownAddresses {
		return &ownAddresses{list: func() ([]net.Addr, error) {
			p := netip.MustParsePrefix(text)
			return []net.Addr{&net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}, err
		}}
	}
	p, err := newPolicy(Options{Allow: []string{"10.0.0.0/8", "host.example.com"}}.withDefaults())
	require.NoError(t, err)
	at := func(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }

	p.own = own("8.8.8.8/24", nil)
	require.NotNil(t, p.permit(nil, at("8.8.8.8:443")), "a public address of our own")
	require.Nil(t, p.permit(nil, at("8.8.8.9:443")))
	require.NotNil(t, p.permit(nil, at("[::ffff:8.8.8.8]:443")))

	p.own = own("10.1.2.3/24", nil)
	require.NotNil(t, p.permit(&p.entries[0], at("10.1.2.3:443")), "a range does not include our own address")
	require.Nil(t, p.permit(&p.entries[0], at("10.1.2.4:443")))
	require.Nil(t, p.permit(&p.entries[1], at("10.1.2.3:443")), "a listed name may lead here")

	p.own = own("8.8.8.8/24", net.ErrClosed)
	require.NotNil(t, p.permit(nil, at("1.1.1.1:443")), "interfaces that cannot be read: nothing is let through")
}

func TestAddress_InterfacesOfThisMachine(t *testing.T) {
	t.Parallel()
	own := &ownAddresses{list: net.InterfaceAddrs}
	addrs, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, a := range addrs {
		addr := netip.MustParsePrefix(a.String()).Addr()
		require.Equal(t, !addr.IsLoopback(), own.contains(addr), addr)
	}
}
