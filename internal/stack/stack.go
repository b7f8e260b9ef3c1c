// Package stack grows the stacks of goroutines that are short-lived and deep.
package stack

// room is how much stack Grow makes sure of, in bytes: a stack of 64 KiB. A Temporal client visits every payload of a
// message with a function whose frame takes 7.6 KiB, recursively (go.temporal.io/api/proxy.visitPayloads): five of them for
// a workflow task, under the frames of the caller.
const room = 40 << 10

// Grow makes the stack of the calling goroutine as large as a request to Temporal needs. A goroutine begins with a few
// kilobytes; each time its stack is too small, the runtime doubles it and walks every frame on it. Called first, when there
// is one frame, that costs next to nothing; later, it was a seventh of a worker's CPU (docs/benchmarks).
func Grow() {
	var bytes [room]byte
	touch(&bytes)
}

//go:noinline
func touch(bytes *[room]byte) { bytes[0] = 1 }
