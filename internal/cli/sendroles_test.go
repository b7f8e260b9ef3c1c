package cli_test

import (
	"strconv"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/cli"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/internal/permissions"
)

// startAccounts starts a server with the users of internal/permissions, each of which has its name as its password, and
// connects as an owner.
func startAccounts(t *testing.T) nats {
	t.Helper()
	s := natstest.Start(t, func(o *server.Options) {
		with := server.Options{}
		require.NoError(t, with.ProcessConfigString(permissions.Accounts(permissions.Config{Password: strconv.Quote})))
		o.Accounts, o.Users = with.Accounts, with.Users
	})
	n := nats{url: s.ClientURL()}
	nc, js, err := natsclient.Login{
		URL: urlOf(s, permissions.Operator), InboxPrefix: permissions.InboxPrefix(permissions.Operator),
	}.Connect(testContext(t), t.Name(), nil)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	n.js = js
	n.streams, err = bus.Setup(testContext(t), js, bus.StreamOptions{Partitions: 1})
	require.NoError(t, err)
	return n
}

func urlOf(s *server.Server, user string) string {
	return "nats://" + user + ":" + user + "@" + s.Addr().String()
}

// TestSend_WaitAsOperator waits with the rights of an operator's tools: for a reply, and for a dead letter.
func TestSend_WaitAsOperator(t *testing.T) {
	t.Parallel()
	n := startAccounts(t)
	n.answer(t)
	user, _ := permissions.UserOf(permissions.Tools)
	for step, want := range map[string]struct {
		status int
		result string
	}{"ORDER": {0, "replied"}, "LETTER": {4, "dead_letter"}} {
		w := &world{env: map[string]string{
			"HOOKTURN_NATS_URL":          "nats://" + user.Name + ":" + user.Name + "@" + n.url[len("nats://"):],
			"HOOKTURN_NATS_INBOX_PREFIX": permissions.InboxPrefix(user.Name), "HOOKTURN_NATS_DOMAIN": user.Domain(),
		}}
		require.Equal(t, want.status, w.run(testContext(t), cli.StarterCommand(), "send", "--bot", "shop", "--conversation", step,
			"--data", `{"step":"`+step+`"}`, "--wait", "1h", "--output", "json"), "%s %s", &w.out, &w.err)
		require.Contains(t, w.out.String(), `"result":"`+want.result+`"`)
	}
}
