package arch

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/app"
)

// A misspelt variable is silently ignored by a process, so that the compose file may only set those that it knows.
func TestCompose_KnownVariables(t *testing.T) {
	t.Parallel()
	known := app.EnvironmentVariables()
	services := ours(loadCompose(t))
	require.NotEmpty(t, services)
	for name, service := range services {
		for variable := range service.Environment {
			if strings.HasPrefix(variable, "HOOKTURN_") || strings.HasPrefix(variable, "TEMPORAL_") {
				require.Contains(t, known, variable, "%s sets %s, which no component reads", name, variable)
			}
		}
	}
}
