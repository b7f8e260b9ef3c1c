package natstest

import "strings"

// Hostile returns texts that a stranger may send where hookturn expects an id, by what is wrong with them.
func Hostile() map[string]string {
	return map[string]string{
		"long": strings.Repeat("x", 3000), "very long": strings.Repeat("x.", 5000) + "x", "space": "a b",
		"line end": "a\r\nPUB b 0\r\n", "nul": "a\x00b", "wildcard": "a.*.b", "all": ">", "empty token": "a..b", "dot": ".",
		"not ascii": "ä", "not utf-8": "\xff", "percent": "a%20b", "quote": `a"b`,
	}
}
