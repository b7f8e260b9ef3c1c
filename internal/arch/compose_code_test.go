package arch

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
)

// TestCompose_CodeWorkerIsBounded holds the container in which strangers' scripts run: bounds of the sum of them, no
// new privileges, a read-only root, three capabilities, a seccomp profile that is a file of the repository, and
// credentials that no other has.
func TestCompose_CodeWorkerIsBounded(t *testing.T) {
	t.Parallel()
	services := ours(loadCompose(t))
	found := 0
	for name, service := range services {
		if !runsScripts(service) {
			require.False(t, slices.ContainsFunc(service.SecurityOpt, func(o string) bool { return strings.Contains(o, "unconfined") }), name)
			require.Empty(t, service.CapAdd, name)
			continue
		}
		found++
		require.NotNil(t, service.Deploy, name)
		require.NotNil(t, service.Deploy.Resources.Limits, name)
		limits := service.Deploy.Resources.Limits
		require.Positive(t, limits.MemoryBytes, name)
		require.LessOrEqual(t, int64(limits.MemoryBytes), int64(8<<30), name)
		require.Positive(t, limits.Pids, name)
		require.LessOrEqual(t, limits.Pids, int64(4096), name)
		require.Positive(t, limits.NanoCPUs, name)
		// Eight scripts for each CPU, each with sixteen threads, a main one and a keeper, and as many again that wait or end.
		require.GreaterOrEqual(t, limits.Pids, int64(8*float32(limits.NanoCPUs)*18), "a tenant's threads would use up all pids")

		require.True(t, service.ReadOnly, name)
		require.Equal(t, []string{"ALL"}, service.CapDrop)
		require.ElementsMatch(t, []string{"SETUID", "SETGID", "KILL"}, service.CapAdd)
		require.Contains(t, service.SecurityOpt, "no-new-privileges:true")
		require.NotContains(t, service.SecurityOpt, "seccomp:unconfined")
		requireProfile(t, service)
		requireOwnCredentials(t, name, services)
	}
	require.Equal(t, 1, found, "a service that polls the queue of code steps")
}

func runsScripts(service types.ServiceConfig) bool {
	queues := service.Environment["HOOKTURN_TASK_QUEUES"]
	return queues != nil && strings.Contains(*queues, "hookturn-code")
}

// requireProfile reads the seccomp profile that a service names.
func requireProfile(t *testing.T, service types.ServiceConfig) {
	t.Helper()
	at := slices.IndexFunc(service.SecurityOpt, func(o string) bool { return strings.HasPrefix(o, "seccomp:") })
	require.GreaterOrEqual(t, at, 0, "no seccomp profile")
	path := strings.TrimPrefix(service.SecurityOpt[at], "seccomp:")
	if !filepath.IsAbs(path) {
		path = filepath.Join(repoRoot, path)
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var profile struct {
		DefaultAction string `json:"defaultAction"`
	}
	require.NoError(t, json.Unmarshal(text, &profile))
	require.Equal(t, "SCMP_ACT_ERRNO", profile.DefaultAction, "what the profile does not name is denied")
}

// requireOwnCredentials compares the address of NATS, which holds user and password, with that of all others.
func requireOwnCredentials(t *testing.T, name string, services types.Services) {
	t.Helper()
	own := services[name].Environment["HOOKTURN_NATS_URL"]
	require.NotNil(t, own)
	for other, service := range services {
		if url := service.Environment["HOOKTURN_NATS_URL"]; other != name && url != nil {
			require.NotEqual(t, *url, *own, "%s and %s log in to NATS as the same user", name, other)
		}
	}
}
