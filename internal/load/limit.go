package load

import (
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// cgroupLimit is the file in which cgroups v2 publish the memory limit of a container.
const cgroupLimit = "/sys/fs/cgroup/memory.max"

// MemoryLimit returns how much memory this process may use, in bytes: the smaller of the Go runtime's limit (GOMEMLIMIT)
// and its container's; 0 when there is none.
func MemoryLimit() uint64 {
	limit := uint64(math.MaxInt64)
	if own := debug.SetMemoryLimit(-1); own > 0 {
		limit = uint64(own)
	}
	if text, err := os.ReadFile(cgroupLimit); err == nil {
		if n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil {
			limit = min(limit, n)
		}
	}
	if limit == math.MaxInt64 {
		return 0
	}
	return limit
}
