package bus

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

// TestEventQuota_Partitions: the stored subjects have the number of the partition before the tenant.
func TestEventQuota_Partitions(t *testing.T) {
	t.Parallel()
	_, js, streams := setup(t, StreamOptions{Sizes: map[string]int64{"events": 1 << 20}})
	require.True(t, streams.Partitioned())
	for n := range 40 {
		_, err := js.Publish(testContext(t), fmt.Sprintf("%s.acme.shop.c%d", schemas.SubjectEvents, n), make([]byte, 16<<10))
		require.NoError(t, err)
	}
	events := streams.EventQuota()
	require.Eventually(t, func() bool {
		exceeded, err := events.Exceeded(testContext(t), "acme")
		return err == nil && exceeded
	}, soon, poll)
}
