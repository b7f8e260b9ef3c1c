package egress

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// entry is one item of the operator's allow list: a host name, or a prefix of addresses, on one port or on all.
type entry struct {
	host   string // "" for a prefix
	prefix netip.Prefix
	port   uint16 // 0 = every port
}

func (e *entry) coversPort(port uint16) bool { return e.port == 0 || e.port == port }

// parseEntry reads host-or-CIDR[:port]. A CIDR of IPv6 with a port is written [fd00::/8]:443 or fd00::/8:443.
func parseEntry(text string) (entry, error) {
	fail := func(why string) (entry, error) {
		return entry{}, fmt.Errorf("egress: allow entry %q: %s", text, why)
	}
	if strings.Contains(text, "://") {
		return fail("leave the scheme out; the form is host-or-CIDR[:port]")
	}
	place, port, err := splitPort(text)
	if err != nil {
		return fail(err.Error())
	}
	if prefix, err := parsePrefix(place); err == nil {
		return entry{prefix: prefix, port: port}, nil
	} else if strings.ContainsAny(place, "/:") {
		return fail(err.Error())
	}
	host := strings.ToLower(place)
	if why := badHost(host); why != "" {
		return fail(why)
	}
	return entry{host: host, port: port}, nil
}

// splitPort returns the place without its brackets, and the port, 0 when there is none.
func splitPort(text string) (place string, port uint16, err error) {
	place, digits := text, ""
	switch slash := strings.IndexByte(text, '/'); {
	case strings.HasPrefix(text, "["):
		end := strings.IndexByte(text, ']')
		if end < 0 {
			return "", 0, fmt.Errorf("the bracket is not closed")
		}
		place, digits = text[1:end], text[end+1:]
	case slash >= 0: // the only colon after the slash is the port's
		if colon := strings.IndexByte(text[slash:], ':'); colon >= 0 {
			place, digits = text[:slash+colon], text[slash+colon:]
		}
	case strings.Count(text, ":") == 1:
		colon := strings.IndexByte(text, ':')
		place, digits = text[:colon], text[colon:]
	}
	if digits == "" {
		return place, 0, nil
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(digits, ":"), 10, 16)
	if err != nil || n == 0 || digits[0] != ':' {
		return "", 0, fmt.Errorf("the port must be a number from 1 to 65535")
	}
	return place, uint16(n), nil
}

// parsePrefix reads a CIDR, or an address as the prefix that holds only it.
func parsePrefix(text string) (netip.Prefix, error) {
	if !strings.Contains(text, "/") {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("not an address")
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return netip.Prefix{}, fmt.Errorf("not a CIDR such as 10.1.0.0/16")
	case prefix.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("write an IPv4 range in its own form, such as 10.1.0.0/16")
	case prefix != prefix.Masked():
		return netip.Prefix{}, fmt.Errorf("the prefix has host bits: write %s, or one address without a slash", prefix.Masked())
	}
	return prefix, nil
}
