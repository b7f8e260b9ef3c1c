package app

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDescribeVersion(t *testing.T) {
	t.Parallel()
	require.Equal(t, "v1.2.3", describeVersion("v1.2.3", settings{revision: "0123456789abcdef"}))
	require.Equal(t, "dev+0123456789ab", describeVersion("dev", settings{revision: "0123456789abcdef"}))
	require.Equal(t, "dev+0123.modified", describeVersion("dev", settings{revision: "0123", modified: true}))
	require.Equal(t, "dev", describeVersion("dev", settings{}))
	b := BuildInfo{Version: "v1.2.3", Revision: "0123", Date: "2026-11-28T12:00:00Z", Go: "go1.26.8"}
	require.Equal(t, "v1.2.3 (revision 0123, built 2026-11-28T12:00:00Z, go1.26.8 "+runtime.GOOS+"/"+runtime.GOARCH+")", b.String())
	require.NotContains(t, BuildInfo{Version: "dev"}.String(), "revision", "unknown")
}
