package bus

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReady_AsksJetStream(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	js := connectTo(t, s)
	require.ErrorContains(t, Ready(testContext(t), js), "HOOKTURN_EVENTS")
	_, err := Setup(testContext(t), js, StreamOptions{})
	require.NoError(t, err)
	require.NoError(t, Ready(testContext(t), js))
	js.Conn().Close()
	require.ErrorContains(t, Ready(testContext(t), js), "jetstream does not answer")
}
