package bot

import (
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Package is a wheel that the scripts of a bot import: its file in the operator's directory, and the SHA-256 of its content
// in hex, so that a step keeps what it started with.
type Package struct {
	Wheel  string `json:"wheel"`
	SHA256 string `json:"sha256"`
}

// filePackage is a package as the file has it.
type filePackage struct {
	Wheel  string `yaml:"wheel"`
	SHA256 string `yaml:"sha256"`
}

const (
	packagesMax    = 64
	connectionsMax = 64
)

var (
	wheelForm = regexp.MustCompile(`^[A-Za-z0-9_.!+]+(-[A-Za-z0-9_.!+]+){4,5}\.whl$`)
	sumForm   = regexp.MustCompile(`^[0-9a-f]{64}$`)
	hostForm  = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$`)
)

// packages checks the wheels of the bot's scripts. Only a process with the operator's directory can check the content.
func (c *checker) packages() []Package {
	const path = "$.packages"
	if n := len(c.file.Packages); n > packagesMax {
		c.problem(path, "has %d packages: at most %d are allowed", n, packagesMax)
		return nil
	}
	var list []Package
	for i, p := range c.file.Packages {
		at := item(path, i)
		switch {
		case len(p.Wheel) > 200 || !wheelForm.MatchString(p.Wheel):
			c.once(at+".wheel", "%s is not the name of a wheel: want NAME-VERSION-PYTHON-ABI-PLATFORM.whl, without a directory",
				quote(p.Wheel))
		case !sumForm.MatchString(p.SHA256):
			c.once(at+".sha256", "want the SHA-256 of the wheel, 64 hex digits in lower case (sha256sum prints it)")
		case c.abandoned():
			return nil
		case slices.ContainsFunc(list, func(other Package) bool { return other.Wheel == p.Wheel }):
			c.problem(at+".wheel", "%s is named twice", quote(p.Wheel))
		default:
			if err := c.options.CheckPackage(p.Wheel, p.SHA256); err != nil {
				c.problem(at, "%s", err)
			}
		}
		list = append(list, Package(p))
	}
	return list
}

// connections checks the hosts to which the bot's scripts can connect; nil = the egress policy decides alone.
func (c *checker) connections() []string {
	const path = "$.connections"
	if !c.has(path) {
		return nil
	}
	if n := len(c.file.Connections); n > connectionsMax {
		c.problem(path, "has %d hosts: at most %d are allowed", n, connectionsMax)
	}
	list := make([]string, 0, len(c.file.Connections))
	for i, entry := range c.file.Connections {
		if !isHostPort(entry) {
			c.once(item(path, i), "%s is not a host or host:port, such as db.example:5432", quote(entry))
		}
		list = append(list, strings.ToLower(entry))
	}
	return list
}

// isHostPort reports whether text is a host name or an address, with or without a port.
func isHostPort(text string) bool {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"), "1"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Zone() == "" || len(host) <= 253 && hostForm.MatchString(host)
}
