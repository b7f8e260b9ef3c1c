package schemas

import "unicode/utf8"

// EncodedLen is the length of a string as Marshal encodes it, quotes included, in bytes. Limits that Temporal and NATS set
// count encoded bytes, and a control character takes six of them.
func EncodedLen(s string) int {
	n := len(`""`)
	for i := 0; i < len(s); {
		b := s[i]
		if b < utf8.RuneSelf {
			n += encodedLenASCII(b)
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1, r == '\u2028', r == '\u2029':
			n += len(`\u2028`)
		default:
			n += size
		}
		i += size
	}
	return n
}

func encodedLenASCII(b byte) int {
	switch b {
	case '"', '\\', '\b', '\f', '\n', '\r', '\t':
		return 2
	}
	if b < ' ' {
		return len(`\u0000`)
	}
	return 1
}
