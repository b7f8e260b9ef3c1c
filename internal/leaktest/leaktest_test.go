package leaktest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// leaving is a package whose last goroutine ends some time after its tests.
type leaving struct{ ends time.Duration }

func (l leaving) Run() int {
	ended := time.After(l.ends)
	go func() { <-ended }()
	return 0
}

func TestVerifyTestMain_SlowGoroutine(t *testing.T) { //nolint:paralleltest // it counts goroutines
	others := goleak.IgnoreCurrent()
	require.Zero(t, patient{leaving{2 * time.Second}, []goleak.Option{others}}.Run())
	require.NoError(t, goleak.Find(others))
}
