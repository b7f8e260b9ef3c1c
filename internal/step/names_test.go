package step_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/step"
)

func TestQuote(t *testing.T) {
	t.Parallel()
	require.Equal(t, `'it\'s \\ here'`, step.Quote(`it's \ here`))
}
