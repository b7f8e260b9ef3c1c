package egress

import (
	"context"
	"net"
	"strconv"

	"github.com/hookturn/hookturn/internal/fault"
)

// DialContext connects to host:port under the client's policy, for callers that use another protocol or forward bytes, such
// as the proxy of code steps. The error is nil or a *fault.Fault.
func (c *Client) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil {
		return nil, fault.New(fault.Config, "invalid address to connect to: it must be host:port")
	}
	t, f := c.policy.target("https://" + net.JoinHostPort(host, port))
	if f != nil {
		return nil, f
	}
	conn, err := c.dialers[t.class].DialContext(ctx, network, t.place.String())
	if err != nil {
		v := classifier{progress: &progress{}, place: t.place, timeout: c.options.ConnectTimeout}
		return nil, v.beforeHeaders(ctx, err)
	}
	return conn, nil
}
