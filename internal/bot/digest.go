package bot

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/hookturn/hookturn/schemas"
)

const (
	// DigestParts is how many parts of eight hex digits a digest has, whatever the number of bots.
	DigestParts  = 64
	digestDigits = 8
)

// Digest returns a text by which two processes compare their bot files, 512 bytes long: DigestOf returns its part for one
// bot. The parts for a bot differ where the bot files differ, except for one in four billion.
func (s *Set) Digest() string { return s.digest }

// DigestOf returns the part of a digest for a bot, known or not; a 64th of all bots share it. It is "" when the text is not
// a digest.
func DigestOf(digest string, id schemas.BotID) string {
	if len(digest) != DigestParts*digestDigits {
		return ""
	}
	from := DigestPart(id) * digestDigits
	return digest[from : from+digestDigits]
}

// digestOf returns the digest of bots. The revision of a bot file depends on its text alone, not on the process.
func digestOf(bots map[schemas.BotID]*Bot) string {
	var parts [DigestParts]uint32
	for id, b := range bots {
		sum := sha256.Sum256([]byte(id.Tenant + "/" + id.Bot + "/" + b.revision))
		parts[DigestPart(id)] ^= binary.BigEndian.Uint32(sum[:]) // in any order
	}
	var digest strings.Builder
	for _, part := range parts {
		fmt.Fprintf(&digest, "%0*x", digestDigits, part)
	}
	return digest.String()
}

// DigestPart returns the index of the part of a digest for a bot, below DigestParts.
func DigestPart(id schemas.BotID) int {
	sum := sha256.Sum256([]byte(id.Tenant + "/" + id.Bot))
	return int(sum[0]) % DigestParts
}
