package cli

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSizeValue(t *testing.T) {
	t.Parallel()
	var sizes map[string]int64
	v := &sizeValue{&sizes, "events"}
	require.Empty(t, v.String())
	for text, want := range map[string]int64{"1048576": 1 << 20, "64KiB": 64 << 10, "5MiB": 5 << 20, "2GiB": 2 << 30, "1TiB": 1 << 40} {
		require.NoError(t, v.Set(text))
		require.Equal(t, want, sizes["events"], text)
	}
	require.NoError(t, v.Set("1048576"))
	require.Equal(t, "1MiB", v.String())
	for _, text := range []string{"", "-1", "0", "1GB", "many", "9000000TiB", "MiB", "1.5GiB"} {
		require.ErrorIs(t, v.Set(text), errNoSize, text)
	}
}
