package stack_test

import (
	"sync"
	"testing"

	"github.com/hookturn/hookturn/internal/stack"
)

// BenchmarkGrow runs a deep call in new goroutines, with and without growing their stacks first.
func BenchmarkGrow(b *testing.B) {
	for name, first := range map[string]func(){"grown first": stack.Grow, "grown as needed": func() {}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				var wg sync.WaitGroup
				wg.Go(func() { first(); deep(30) })
				wg.Wait()
			}
		})
	}
}

//go:noinline
func deep(n int) byte {
	var frame [700]byte
	if n == 0 {
		return frame[n]
	}
	frame[n] = deep(n - 1)
	return frame[n/2]
}
