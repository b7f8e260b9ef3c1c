package secret

import (
	"fmt"
	"strings"
)

// EnvPrefix is the prefix of environment variables with secrets.
const EnvPrefix = "HOOKTURN_SECRET_"

// EnvName returns the environment variable of a tenant's secret. Small letters become capitals, digits stay, and "_"
// stays in the name of the secret; every other character becomes "x" and its two hexadecimal digits, as in
// HOOKTURN_SECRET_MYx2DSHOP_ORDERS for the secret orders of my-shop. No two pairs have one variable: "x" is never a
// letter of a name, and the first "_" is the end of the tenant.
func EnvName(tenant, name string) string { return tenantPrefix(tenant) + envPart(name, true) }

// tenantPrefix returns the prefix of a tenant's variables. No variable of another tenant has it.
func tenantPrefix(tenant string) string { return EnvPrefix + envPart(tenant, false) + "_" }

func envPart(text string, underscores bool) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		switch {
		case c >= 'a' && c <= 'z':
			b.WriteByte(c - 'a' + 'A')
		case c >= '0' && c <= '9', c == '_' && underscores:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "x%02X", c)
		}
	}
	return b.String()
}

// settings are prefixes of variables with settings of hookturn and its libraries. Bot files cannot name these variables.
var settings = []string{"HOOKTURN_", "TEMPORAL_", "NATS_", "OTEL_"}

func isSetting(name string) bool {
	for _, prefix := range settings {
		if strings.HasPrefix(strings.ToUpper(name), prefix) {
			return true
		}
	}
	return false
}
