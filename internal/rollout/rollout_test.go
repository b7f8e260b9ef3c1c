package rollout_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/internal/rollout"
	"github.com/hookturn/hookturn/schemas"
)

func TestMain(m *testing.M) { natstest.VerifyTestMain(m) }

// starterTTL is so long that an announcement settles after a minute, and no key expires while a test runs.
const starterTTL = 2 * time.Minute

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// botsOf returns the bots of files.
func botsOf(t *testing.T, files map[string]string) *bot.Store {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(text), 0o600))
	}
	bots, err := bot.NewStore(dir, bot.Options{Dialects: dialects.Specs()}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return bots
}

// installation is a NATS whose bucket of starters a test fills.
type installation struct{ bus.Streams }

func setup(t *testing.T) installation {
	t.Helper()
	s := natstest.Start(t, natstest.At(-1, t.TempDir()))
	nc, js, err := bus.Connect(testContext(t), natsclient.Login{URL: s.ClientURL()}, t.Name(), nil)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	streams, err := bus.Setup(testContext(t), js, bus.StreamOptions{Partitions: 1, StarterTTL: starterTTL})
	require.NoError(t, err)
	return installation{streams}
}

// starter returns the files of a starter with the bot shop, beside others that announce digests.
func (i installation) starter(t *testing.T, others map[string]string) *rollout.Files {
	t.Helper()
	require.NoError(t, i.BucketLog(bus.BucketStarters).Purge(testContext(t)))
	f := &rollout.Files{Bots: botsOf(t, map[string]string{"shop": "bot: shop\n"}), Streams: i.Streams, Name: "self.1"}
	for key, value := range map[string]string{schemas.ConversationToken(f.Name): "its announcement before", "partition.0": "owner"} {
		_, err := i.Bucket(bus.BucketStarters).Put(testContext(t), key, []byte(value))
		require.NoError(t, err)
	}
	for key, value := range others {
		_, err := i.Bucket(bus.BucketStarters).Put(testContext(t), key, []byte(value))
		require.NoError(t, err)
	}
	return f
}

func idOf(name string) schemas.BotID { return schemas.BotID{Tenant: "default", Bot: name} }

// answerIn returns the moment at which an event is to be answered, nil when it does not have one.
func answerIn(d time.Duration) *time.Time {
	if d == 0 {
		return nil
	}
	until := time.Now().Add(d)
	return &until
}

// TestFiles_Wait is how long an event waits whose bot or step this starter does not know, by what the others have.
func TestFiles_Wait(t *testing.T) {
	t.Parallel()
	nats := setup(t)
	same := botsOf(t, map[string]string{"shop": "bot: shop\n"}).Current().Digest()
	newer := botsOf(t, map[string]string{"shop": "bot: shop\n", "late": "bot: late\n"}).Current().Digest()
	for name, c := range map[string]struct {
		others map[string]string
		bot    string
		age    time.Duration
		answer time.Duration // from now on; 0: without an end
		atMost time.Duration
	}{
		"alone":                        {map[string]string{}, "late", 0, 0, 0},
		"another has it":               {map[string]string{"a": same, "b": newer}, "late", 0, 0, rollout.Grace},
		"another has it, older":        {map[string]string{"b": newer}, "late", 70 * time.Second, 0, rollout.Grace - 70*time.Second},
		"after the grace":              {map[string]string{"b": newer}, "late", 2 * rollout.Grace, 0, 0},
		"of an earlier release":        {map[string]string{"b": "starter-b/x"}, "late", 0, 0, starterTTL / 2},
		"of an earlier release, older": {map[string]string{"b": "starter-b/x"}, "late", 70 * time.Second, 0, 0},
		"answered in a while":          {map[string]string{"b": newer}, "late", 0, 30 * time.Second, 30 * time.Second},
		"answered now":                 {map[string]string{"b": newer}, "late", 0, -time.Millisecond, 0},
		"answered much later":          {map[string]string{"b": newer}, "late", 70 * time.Second, time.Hour, rollout.Grace - 70*time.Second},
		"a mistake, answered now":      {map[string]string{"a": same}, "late", 0, -time.Millisecond, 0},
		"another bot is newer":         {map[string]string{"b": newer}, "shop", 70 * time.Second, 0, 0},
		"a mistake, long ago":          {map[string]string{"a": same}, "late", 70 * time.Second, 0, 0},
		"stored by a clock far ahead":  {map[string]string{"b": newer}, "late", -time.Hour, 0, rollout.Grace},
	} {
		f := nats.starter(t, c.others)
		wait, err := f.Wait(testContext(t), f.Bots.Current(), idOf(c.bot), time.Now().Add(-c.age), answerIn(c.answer))
		require.NoError(t, err, name)
		require.LessOrEqual(t, wait, c.atMost, name)
		require.Equal(t, c.atMost > 0, wait > 0, name)
	}
}

// TestFiles_WaitUntilAnnounced: a starter that has accepted an event may not have announced its files, so that the event of
// which no other starter is known to have the bot waits for a moment.
func TestFiles_WaitUntilAnnounced(t *testing.T) {
	t.Parallel()
	f := setup(t).starter(t, map[string]string{"a": botsOf(t, map[string]string{"shop": "bot: shop\n"}).Current().Digest()})
	wait, err := f.Wait(testContext(t), f.Bots.Current(), idOf("late"), time.Now(), nil)
	require.NoError(t, err)
	require.Positive(t, wait)
}

func TestFiles_Differ(t *testing.T) {
	t.Parallel()
	newer := botsOf(t, map[string]string{"shop": "bot: shop\n", "late": "bot: late\n"})
	f := setup(t).starter(t, map[string]string{"b": newer.Current().Digest()})
	for name, want := range map[string]bool{"late": true, "shop": false} {
		differ, err := f.Differ(testContext(t), f.Bots.Current(), idOf(name))
		require.NoError(t, err)
		require.Equal(t, want, differ, name)
	}
	differ, err := f.Differ(testContext(t), newer.Current(), idOf("late"))
	require.NoError(t, err)
	require.False(t, differ, "once it has loaded the file")
}

// TestFiles_CallerAway: the announcements that one caller reads are for all.
func TestFiles_CallerAway(t *testing.T) {
	t.Parallel()
	f := setup(t).starter(t, map[string]string{})
	ended, cancel := context.WithCancel(testContext(t))
	cancel()
	_, err := f.Wait(ended, f.Bots.Current(), idOf("late"), time.Now(), nil)
	require.NoError(t, err)
}

// TestFiles_DifferForGood: files that differ for long, such as after a bad file in one place, do not differ because of a
// change that is on its way. The next change of either side is one.
func TestFiles_DifferForGood(t *testing.T) {
	t.Parallel()
	nats := setup(t)
	own := botsOf(t, map[string]string{"shop": "bot: shop\n"})
	newer := botsOf(t, map[string]string{"shop": "bot: shop\n", "late": "bot: late\n"})
	newest := botsOf(t, map[string]string{"shop": "bot: shop\n", "late": "bot: late\nidle_timeout: 5m\n"})
	f := nats.starter(t, map[string]string{"b": newer.Current().Digest()})
	differ := func(of *bot.Store) bool {
		differ, err := f.Differ(testContext(t), of.Current(), idOf("late"))
		require.NoError(t, err)
		return differ
	}
	announce := func(of *bot.Store) {
		_, err := nats.Bucket(bus.BucketStarters).Put(testContext(t), "b", []byte(of.Current().Digest()))
		require.NoError(t, err)
	}
	require.True(t, differ(own))
	f.Age(rollout.Grace / 2)
	require.True(t, differ(own))
	f.Age(rollout.Grace)
	require.False(t, differ(own))

	announce(newest)
	f.Age(0)
	require.True(t, differ(own), "the other one has changed")
	f.Age(2 * rollout.Grace)
	require.False(t, differ(own))

	require.True(t, differ(newer), "this one has changed")
	f.Age(2 * rollout.Grace)
	require.False(t, differ(newer))

	announce(newer)
	f.Age(0)
	require.False(t, differ(newer), "they are equal")
	announce(newest)
	f.Age(0)
	require.True(t, differ(newer), "they differ again")
	f.Age(2 * rollout.Grace)
	require.False(t, differ(newer))
	f.Age(24 * time.Hour)
	require.True(t, differ(newer), "they may have been equal meanwhile")
}
