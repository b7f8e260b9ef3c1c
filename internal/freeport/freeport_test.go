package freeport

import (
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestChoose_OutsideTheSystemsRange: neither the system nor a second call gives a chosen port away before it is used.
func TestChoose_OutsideTheSystemsRange(t *testing.T) {
	low, err := systemPorts()
	require.NoError(t, err)
	from, to := bounds(low, nil)
	seen := map[int]bool{}
	for range 500 {
		port := Choose()
		require.False(t, seen[port], "%d was given twice", port)
		seen[port] = true
		require.GreaterOrEqual(t, port, from)
		require.Less(t, port, to, "the system assigns it to others")
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		require.NoError(t, err)
		require.NoError(t, l.Close())
	}
}

func TestBounds(t *testing.T) {
	for low, want := range map[int][2]int{
		32_768: {first, last}, 15_000: {first, 15_000}, 11_000: {9_000, 11_000}, 4_500: {2_500, 4_500}, 1_024: {first, last},
	} {
		from, to := bounds(low, nil)
		require.Equal(t, want, [2]int{from, to}, "the system's ports begin at %d", low)
	}
}

// TestStart_Apart: processes that are started one after another begin far from each other.
func TestStart_Apart(t *testing.T) {
	const size, processes = last - first, 200
	for pid := 1; pid < 1<<22; pid += 997 {
		own := start(pid, size)
		require.Less(t, own, size)
		for next := pid + 1; next <= pid+processes; next++ {
			apart := (start(next, size) - own + size) % size
			if least := size / (3 * processes); apart < least || size-apart < least {
				t.Fatalf("%d and %d are %d apart", pid, next, apart)
			}
		}
	}
}
