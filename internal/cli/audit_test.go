package cli_test

import (
	"encoding/json"
	"math"
	"os/user"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/cli"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/schemas"
)

// audited returns what "starter audit" lists, as JSON.
func (n nats) audited(t *testing.T, args ...string) (list []schemas.AuditEvent) {
	t.Helper()
	w := &world{env: n.at()}
	status := w.run(testContext(t), cli.StarterCommand(), append([]string{"audit", "--output", "json"}, args...)...)
	if status == 3 {
		return nil
	}
	require.Zero(t, status, "%s%s", &w.out, &w.err)
	require.NoError(t, json.Unmarshal([]byte(w.out.String()), &list))
	return list
}

// TestAudit_EveryChange makes each change that a tool can make with NATS alone, and looks for its events.
func TestAudit_EveryChange(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	require.Nil(t, n.audited(t), "status 3 when there are none")
	const orders = "https://shop.example/orders"
	shop := schemas.BotID{Tenant: "default", Bot: "shop"}
	for range 3 {
		n.letter(t, 7, shop, event("e-1"), fault.UnknownBot)
	}
	n.letter(t, 8, shop, event("e-2"), fault.UnknownBot)
	type change struct {
		action  schemas.AuditAction
		subject string
		args    []string
	}
	for _, c := range []change{
		{schemas.AuditBotPause, "shop", []string{"bots", "pause", "shop", "--for", "1h", "--reason", "rest"}},
		{schemas.AuditBotResume, "shop", []string{"bots", "resume", "shop"}},
		{schemas.AuditEndpointPause, orders, []string{"endpoints", "pause", orders + "?key=1", "--bot", "shop"}},
		{schemas.AuditEndpointResume, orders, []string{"endpoints", "resume", orders, "--bot", "shop"}},
		{schemas.AuditDeadLettersReplay, "", []string{"deadletters", "replay", "1"}},
		{schemas.AuditDeadLettersReplay, "", []string{"deadletters", "replay", "--bot", "shop", "--conversation", "c-42"}},
	} {
		succeed(t, &world{env: n.at()}, append(c.args, "--dry-run")...)
		fail(t, &world{env: n.at()}, c.args...)
		before := time.Now().UTC().Format(time.RFC3339Nano)
		require.Nil(t, n.audited(t, "--since", before, "--action", string(c.action)), "neither a dry run nor what is not confirmed")
		succeed(t, &world{env: n.at()}, append(c.args, "--yes", "--actor", "ann")...)
		list := n.audited(t, "--since", before, "--action", string(c.action))
		require.Len(t, list, 2, c.args)
		for i, result := range []schemas.AuditResult{schemas.AuditRequested, schemas.AuditDone} {
			data := list[i].Data
			require.Equal(t, result, data.Result)
			require.Equal(t, list[0].Data.Operation, data.Operation)
			require.Equal(t, "ann", data.Actor.Name)
			require.Equal(t, "cli", data.Actor.Via)
			require.NotEmpty(t, data.Actor.NATSUser)
			require.NotEmpty(t, data.Actor.OSUser)
			require.Equal(t, c.subject, list[i].Subject)
			require.NotRegexp(t, `\bc-42\b`, string(must(json.Marshal(list[i]))), "no id of a conversation")
		}
	}
	require.Equal(t, "rest", n.audited(t, "--action", "bot_pause")[0].Data.Reason)
	require.NotNil(t, n.audited(t, "--action", "bot_pause")[0].Data.Until)
	replays := n.audited(t, "--action", "deadletters_replay")
	require.Equal(t, []string{"1"}, replays[0].Data.Objects)
	require.Equal(t, map[string]string{"bot": "shop", "conversation": "(not recorded)"}, replays[2].Data.Filter)
	require.Positive(t, replays[3].Data.Counts["unknown_bot"])
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// TestAudit_RoleOfNATSUser pauses a bot as each user. NATS keeps a viewer of hookturn's table from doing so: this one only has
// its name.
func TestAudit_RoleOfNATSUser(t *testing.T) {
	t.Parallel()
	o := server.Options{}
	require.NoError(t, o.ProcessConfigString(`accounts { A { jetstream: enabled, users: [
		{ user: hookturn, password: x }, { user: operator, password: x }, { user: viewer, password: x }, { user: other, password: x } ] } }`))
	s := natstest.Start(t, func(to *server.Options) { to.Accounts, to.Users = o.Accounts, o.Users })
	as := func(user string) nats { return nats{url: "nats://" + user + ":x@" + s.Addr().String()} }
	_, js, err := bus.Connect(testContext(t), natsclient.Login{URL: as("hookturn").url}, t.Name(), nil)
	require.NoError(t, err)
	t.Cleanup(js.Conn().Close)
	_, err = bus.Setup(testContext(t), js, bus.StreamOptions{Partitions: 2})
	require.NoError(t, err)
	for user, want := range map[string]string{"hookturn": "owner", "operator": "operator", "viewer": "", "other": ""} {
		succeed(t, &world{env: as(user).at()}, "bots", "pause", "shop", "--yes", "--actor", "as-"+user)
		list := as("hookturn").audited(t, "--actor", "as-"+user)
		require.Len(t, list, 2)
		for _, e := range list {
			require.Equal(t, user, e.Data.Actor.NATSUser)
			require.Equal(t, want, e.Data.Actor.Role, user)
		}
	}
}

func TestAudit_Filters(t *testing.T) {
	t.Parallel()
	n := startNATS(t)
	for _, args := range [][]string{
		{"bots", "pause", "shop", "--actor", "ann"}, {"bots", "pause", "shop", "--tenant", "acme", "--actor", "bob"},
		{"bots", "resume", "bank", "--actor", "ann"},
	} {
		succeed(t, &world{env: n.at()}, append(args, "--yes")...)
	}
	for want, args := range map[int][]string{
		6: nil, 2: {"--tenant", "acme"}, 4: {"--actor", "ann"}, 0: {"--actor", "carla"}, 1: {"--limit", "1"},
	} {
		require.Len(t, n.audited(t, args...), want, args)
	}
	require.Len(t, n.audited(t, "--limit", strconv.Itoa(math.MaxInt)), 6)
	require.Len(t, n.audited(t, "--bot", "bank"), 2)
	require.Len(t, n.audited(t, "--action", "bot_resume"), 2)
	require.Nil(t, n.audited(t, "--until", "1h"))
	require.Nil(t, n.audited(t, "--since", time.Now().Add(time.Hour).UTC().Format(time.RFC3339)))
	require.Contains(t, fail(t, &world{env: n.at()}, "audit", "--action", "frob"), `invalid --action "frob": expected one of`)

	env := n.at()
	env["HOOKTURN_ACTOR"] = "carla"
	require.Regexp(t, `Z +ann +- +cli +bot_pause +requested +default +shop +shop`, succeed(t, &world{env: env}, "audit"), "the variable does not filter")
	succeed(t, &world{env: env}, "bots", "pause", "shop", "--yes")
	require.Len(t, n.audited(t, "--actor", "carla"), 2)
	succeed(t, &world{env: n.at()}, "bots", "pause", "shop", "--yes")
	if me, err := user.Current(); err == nil {
		require.NotEmpty(t, n.audited(t, "--actor", me.Username), "the user of the operating system when there is no other name")
	}
	require.Contains(t, fail(t, &world{env: n.at()}, "bots", "pause", "shop", "--yes", "--actor", "two\nlines"), "invalid --actor")
}

// TestAudit_NothingChangesWithoutTheEvent: as a user that may pause bots and write no audit event.
func TestAudit_NothingChangesWithoutTheEvent(t *testing.T) {
	t.Parallel()
	o := server.Options{}
	require.NoError(t, o.ProcessConfigString(`accounts { A { jetstream: enabled, users: [ { user: all, password: x },
		{ user: some, password: x, permissions: { publish: { deny: "hookturn.audit.>" } } } ] } }`))
	s := natstest.Start(t, func(to *server.Options) { to.Accounts, to.Users = o.Accounts, o.Users })
	_, js, err := bus.Connect(testContext(t), natsclient.Login{URL: "nats://all:x@" + s.Addr().String()}, t.Name(), nil)
	require.NoError(t, err)
	t.Cleanup(js.Conn().Close)
	streams, err := bus.Setup(testContext(t), js, bus.StreamOptions{Partitions: 2})
	require.NoError(t, err)
	all, some := nats{"nats://all:x@" + s.Addr().String(), js, streams}, nats{url: "nats://some:x@" + s.Addr().String()}
	all.letter(t, 7, schemas.BotID{Tenant: "default", Bot: "shop"}, event("e-1"), fault.UnknownBot)
	for _, args := range [][]string{
		{"bots", "pause", "shop"}, {"endpoints", "pause", "https://shop.example/", "--bot", "shop"}, {"deadletters", "replay", "1"},
		{"deadletters", "replay", "--all"},
	} {
		w := &world{env: some.at()}
		require.Equal(t, 4, w.run(testContext(t), cli.StarterCommand(), append(args, "--yes")...), args)
		require.Contains(t, w.err.String(), "nothing was changed")
		require.Contains(t, w.err.String(), "needs the role operator")
	}
	decided, err := store.NewPauses(streams).List(testContext(t))
	require.NoError(t, err)
	require.Empty(t, decided)
	letters, err := bus.NewDeadLetters(js, streams).List(testContext(t), bus.DeadLetterFilter{})
	require.NoError(t, err)
	require.Len(t, letters, 1)
	require.Nil(t, all.audited(t))
}
