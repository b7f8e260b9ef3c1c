package e2e

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/permissions"
)

// userURL is the address of NATS with a user of the development stack, whose password is its name.
func userURL(natsURL, user string) string {
	return strings.ReplaceAll(natsURL, "nats://", "nats://"+user+":"+user+"@")
}

// toolEnvironment is the environment of a tool that connects to NATS as one of the users of hookturn.
func toolEnvironment(natsURL, user string) []string {
	of, _ := permissions.UserOf(user)
	return append(os.Environ(), "HOOKTURN_NATS_URL="+userURL(natsURL, user), "HOOKTURN_NATS_DOMAIN="+of.Domain(),
		"HOOKTURN_NATS_INBOX_PREFIX="+permissions.InboxPrefix(user))
}

// asUser configures a program of the product to connect as the user that it has in production.
func asUser(program string, env []string) []string {
	user := map[string]string{"worker": permissions.Worker, "starter": permissions.Starter}[program]
	if slices.Contains(env, "HOOKTURN_TASK_QUEUES=hookturn-code") {
		user = permissions.Code
	}
	env = slices.Clone(env)
	for i, variable := range env {
		if natsURL, found := strings.CutPrefix(variable, "HOOKTURN_NATS_URL="); found && user != "" {
			env[i] = "HOOKTURN_NATS_URL=" + userURL(natsURL, user)
			of, _ := permissions.UserOf(user)
			env = append(env, "HOOKTURN_NATS_INBOX_PREFIX="+permissions.InboxPrefix(user), "HOOKTURN_NATS_DOMAIN="+of.Domain())
		}
	}
	return env
}

// setUp creates what "starter setup" creates on NATS, as its user.
func setUp(t testing.TB, natsURL string) {
	t.Helper()
	nc, js, err := bus.Connect(t.Context(), natsclient.Login{
		URL: userURL(natsURL, permissions.Setup), InboxPrefix: permissions.InboxPrefix(permissions.Setup),
	}, "e2e", nil)
	require.NoError(t, err)
	defer nc.Close()
	streamsOf(t, js)
	retried(t, func(ctx context.Context) error { return bus.EnsureEngine(ctx, js, "default") })
}
