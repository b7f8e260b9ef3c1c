package codec

import (
	"github.com/klauspost/compress/zstd"
)

// The first byte of what is encrypted.
const (
	asItIs     = 0
	compressed = 1
)

const (
	compressMin = 256      // shorter payloads gain nothing
	expandedMax = 64 << 20 // bounds what a damaged payload can make of this process's memory
)

// Both are used for whole payloads only, which needs no goroutines, and are safe for concurrent use.
var (
	encoder, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true))
	decoder, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(expandedMax))
)

func compress(plain []byte) []byte {
	if len(plain) >= compressMin {
		packed := encoder.EncodeAll(plain, append(make([]byte, 0, len(plain)), compressed))
		if len(packed) < len(plain) {
			return packed
		}
	}
	return append([]byte{asItIs}, plain...)
}

func expand(packed []byte) ([]byte, error) {
	switch {
	case len(packed) > 0 && packed[0] == asItIs:
		return packed[1:], nil
	case len(packed) > 0 && packed[0] == compressed:
		return decoder.DecodeAll(packed[1:], nil)
	default:
		return nil, errDamaged
	}
}
