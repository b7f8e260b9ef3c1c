package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/deployment"
)

// deploymentsTool runs "starter deployments". A list without a version, which is status 3, is empty.
func deploymentsTool(t *testing.T, where map[string]string, args ...string) []byte {
	t.Helper()
	out, err := tryDeploymentsTool(t, where, args...)
	require.NoError(t, err)
	return out
}

// tryDeploymentsTool is deploymentsTool for a condition that is polled, in which a failed call means not yet.
func tryDeploymentsTool(t *testing.T, where map[string]string, args ...string) ([]byte, error) {
	t.Helper()
	cmd := exec.Command(program(t, "starter"), append([]string{"deployments"}, append(args, waitLong)...)...)
	cmd.Env = append(os.Environ(), "TEMPORAL_ADDRESS="+where["temporal"], "HOOKTURN_NATS_URL="+where["nats"])
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() != statusNotFound {
		return nil, fmt.Errorf("%w: %s", err, &problem)
	}
	return out.Bytes(), nil
}

// statusNotFound is the exit status of a tool that found nothing.
const statusNotFound = 3

// currentVersion is the build id that gets the tasks.
func currentVersion(t *testing.T, where map[string]string) string {
	t.Helper()
	build, err := readCurrentVersion(t, where)
	require.NoError(t, err)
	return build
}

func readCurrentVersion(t *testing.T, where map[string]string) (string, error) {
	t.Helper()
	var list []deployment.Version
	text, err := tryDeploymentsTool(t, where, "list", "--output=json")
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return "", fmt.Errorf("%w: %s", err, text)
	}
	for _, v := range list {
		if v.State == "current" {
			return v.BuildID, nil
		}
	}
	return "", nil
}

func awaitCurrent(t *testing.T, where map[string]string, want string) {
	t.Helper()
	require.Eventually(t, func() bool {
		build, err := readCurrentVersion(t, where)
		return err == nil && build == want
	}, 2*patience, 200*time.Millisecond, want)
}

// TestDeployment_NewerVersionPromotesItself starts a worker, a newer one beside it, and hands the tasks back by hand.
func TestDeployment_NewerVersionPromotesItself(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.start(t, "starter")
	version := func(build string, args ...string) *proc {
		return run(t, program(t, "worker"), c.env(), append(args, "--build-id="+build)...)
	}
	answered := func(n int) {
		t.Helper()
		c.engine.request(t, "shop", "moved", "ORDER")
		c.engine.replied(t, "shop", "moved", n)
	}
	version("v1.0.0")
	answered(1)
	awaitCurrent(t, c.where, "v1.0.0")
	version("v1.1.0")
	awaitCurrent(t, c.where, "v1.1.0")
	answered(2)

	third := version("v1.2.0", "--deployment-promote=manual")
	require.Eventually(t, func() bool {
		list, err := tryDeploymentsTool(t, c.where, "list")
		return err == nil && bytes.Contains(list, []byte("v1.2.0"))
	}, patience, 200*time.Millisecond)
	require.Equal(t, "v1.1.0", currentVersion(t, c.where))
	require.Contains(t, string(deploymentsTool(t, c.where, "promote", "--yes", "--build-id=v1.2.0")), "current version is v1.2.0, was v1.1.0")
	answered(3)
	require.Contains(t, string(deploymentsTool(t, c.where, "promote", "--yes", "--build-id=v1.0.0")), "current version is v1.0.0, was v1.2.0")
	recorded := auditOf(t, c.where["nats"], "deployment_promote")
	require.Len(t, recorded, 4, "two for each")
	require.Equal(t, []string{"from v1.2.0", "to v1.0.0"}, recorded[3].Data.Objects)
	third.stop(t)
	answered(4)
	require.Equal(t, "v1.0.0", currentVersion(t, c.where), "a version that was rolled back does not come back by itself")
}
