package bot_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/leaktest"
	"github.com/hookturn/hookturn/schemas"
)

func TestMain(m *testing.M) { leaktest.VerifyTestMain(m) }

const (
	goodBot  = "bot: shop\nsteps: {X: {webhook: {url: \"https://one.example/\"}}}\n"
	otherBot = "bot: shop\nsteps: {X: {webhook: {url: \"https://two.example/\"}}}\n"
	badBot   = "bot: shop\ncolour: red\n"
	badText  = "shop.yaml:2:1: $.colour: unknown key"
)

// storeBundle is a store over a directory that the test changes.
type storeBundle struct {
	*bot.Store
	dir string
	log *syncBuffer

	mu      sync.Mutex
	reloads []bot.Status
}

func setupStore(t *testing.T, dir, text string, change ...func(*bot.Options)) *storeBundle {
	t.Helper()
	b := &storeBundle{dir: dir, log: &syncBuffer{}}
	if text != "" {
		b.write(t, "shop.yaml", text)
	}
	options := bot.Options{Dialects: dialects.Specs(), FreeSecrets: true, OnLoad: func(status bot.Status) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.reloads = append(b.reloads, status)
	}}
	for _, f := range change {
		f(&options)
	}
	var err error
	b.Store, err = bot.NewStore(dir, options, slog.New(slog.NewTextHandler(b.log, nil)))
	require.NoError(t, err)
	return b
}

func (b *storeBundle) reloadCount() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.reloads)
}

func (b *storeBundle) write(t *testing.T, name, text string) {
	t.Helper()
	writeFile(t, filepath.Join(b.dir, name), text)
}

// url returns the URL of the bot's step, "" while there is none: files may be read between two writes.
func (b *storeBundle) url() string {
	shop, ok := b.Current().Bot(schemas.BotID{Tenant: "default", Bot: "shop"})
	if !ok {
		return ""
	}
	plan, err := shop.Plan("X")
	if err != nil {
		return ""
	}
	return plan.Webhook.URL
}

// secret returns the bot's secret, "" while there is none.
func (b *storeBundle) secret() string {
	shop, ok := b.Current().Bot(schemas.BotID{Tenant: "default", Bot: "shop"})
	if !ok {
		return ""
	}
	values, ok := shop.Secrets("key")
	if !ok {
		return ""
	}
	return values[0].Reveal()
}

func (b *storeBundle) eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, time.Minute, 5*time.Millisecond)
}

func TestNewStore_RefuseBad(t *testing.T) {
	t.Parallel()

	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "shop.yaml"), badBot)
	_, err := bot.NewStore(dir, bot.Options{Dialects: dialects.Specs(), RefuseBad: true}, slog.New(slog.DiscardHandler))
	require.EqualError(t, err, badText)
}

func TestStore_Reload(t *testing.T) {
	t.Parallel()

	s := setupStore(t, t.TempDir(), goodBot)
	first := s.Current()
	require.NoError(t, s.LastError())

	s.write(t, "shop.yaml", badBot)
	require.EqualError(t, s.Reload(), badText)
	require.EqualError(t, s.LastError(), badText)
	require.Equal(t, first.Bots(), s.Current().Bots(), "a bad file replaced a good one")
	require.Contains(t, s.log.String(), `file=shop.yaml line=2 column=1 key=$.colour problem="unknown key"`)

	s.write(t, "shop.yaml", otherBot)
	require.NoError(t, s.Reload())
	require.NoError(t, s.LastError())
	require.Equal(t, "https://two.example/", s.url())
	require.NotSame(t, first, s.Current())

	require.NoError(t, os.RemoveAll(s.dir))
	require.ErrorIs(t, s.Reload(), os.ErrNotExist)
	require.Equal(t, "https://two.example/", s.url())
	require.Len(t, s.reloads, 4)
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestStore_BadFileHoldsBackItsBotOnly(t *testing.T) {
	t.Parallel()

	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "bad.yaml"), "bot: bad\ncolour: red\n")
	writeFile(t, filepath.Join(dir, "acme", "other.yaml"), "bot: other\n")
	s := setupStore(t, dir, goodBot)
	require.Equal(t, []string{"acme/other", "default/shop"}, names(s.Current()))
	status := s.Status()
	require.Equal(t, []string{"bad.yaml"}, status.BadFiles)
	require.Equal(t, `: bad.yaml is a bad bot file, see "starter validate"`,
		s.Current().Hint(schemas.BotID{Tenant: "default", Bot: "bad"}))
	require.Equal(t, 2, status.Bots)
	require.True(t, status.LastGood.IsZero())
	require.EqualError(t, status.Err, "bad.yaml:2:1: $.colour: unknown key")
	require.Equal(t, []bot.Status{status}, s.reloads)
	require.Equal(t, 1, strings.Count(s.log.String(), "problem=\"unknown key\""))

	s.write(t, "shop.yaml", badBot)
	s.write(t, "acme/other.yaml", "bot: other\nsteps: {Y: {webhook: {url: \"https://y.example/\"}}}\n")
	require.Error(t, s.Reload())
	require.Equal(t, []string{"acme/other", "default/shop"}, names(s.Current()))
	require.Equal(t, "https://one.example/", s.url(), "a bad file keeps its last good bot")
	other, _ := s.Current().Bot(schemas.BotID{Tenant: "acme", Bot: "other"})
	require.Equal(t, []string{"Y"}, other.Steps(), "another file's edit is held back")
	require.Equal(t, 2, strings.Count(s.log.String(), "problem=\"unknown key\""), "a known problem is logged again")

	require.NoError(t, os.Remove(filepath.Join(dir, "shop.yaml")))
	require.NoError(t, os.Remove(filepath.Join(dir, "bad.yaml")))
	require.NoError(t, s.Reload())
	require.Equal(t, []string{"acme/other"}, names(s.Current()), "a file that is gone takes its bot with it")
	require.False(t, s.Status().LastGood.IsZero())
}

func TestStore_ClashKeepsTheLastGoodBot(t *testing.T) {
	t.Parallel()
	const adapter = "bot: NAME\nsecrets: {t: {file: token}}\nadapters: {agents: {account: ACCOUNT, product_token: t}}\n"
	text := func(name, account string) string {
		return strings.NewReplacer("NAME", name, "ACCOUNT", account).Replace(adapter)
	}
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "token"), "token")
	writeFile(t, filepath.Join(dir, "a.yaml"), text("a", `"1"`))
	writeFile(t, filepath.Join(dir, "b.yaml"), text("b", `"2"`))
	s := setupStore(t, dir, "")
	s.write(t, "b.yaml", text("b", `"1"`))
	require.Error(t, s.Reload())
	require.Equal(t, []string{"b.yaml"}, s.Status().BadFiles)
	b, _, ok := s.Current().Adapter("2", "agents", "token")
	require.True(t, ok)
	require.Equal(t, "b", b.Name())
}

// In a bubble of synctest no time passes while files are read, however slow the machine is.
func TestStore_HangingLoadIsAbandoned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang, ended := make(chan struct{}), make(chan struct{})
		s := setupStore(t, t.TempDir(), goodBot, func(o *bot.Options) {
			o.CheckURL = func(url string) error {
				if strings.Contains(url, "hang.example") {
					<-hang
					close(ended)
				}
				return nil
			}
		})
		t.Cleanup(func() { close(hang); <-ended })
		s.write(t, "acme/hang.yaml", "bot: hang\nsteps: {X: {webhook: {url: \"https://hang.example/\"}}}\n")
		s.write(t, "acme/never.yaml", "bot: never\n")
		s.write(t, "acme/first.yaml", "bot: first\n")
		s.write(t, "shop.yaml", otherBot)
		const late = ": could not be loaded within 10s: the load was abandoned"
		require.EqualError(t, s.Reload(), "acme/hang.yaml"+late+"\nacme/never.yaml"+late)
		require.Equal(t, []string{"acme/hang.yaml", "acme/never.yaml"}, s.Status().BadFiles)
		require.Equal(t, []string{"acme/first", "default/shop"}, names(s.Current()))
		require.Equal(t, "https://two.example/", s.url(), "the other files are loaded")
		require.Contains(t, s.log.String(), "the load was abandoned")

		s.write(t, "acme/hang.yaml", "bot: hang\n")
		require.NoError(t, s.Reload(), "a later load works")
		require.Equal(t, []string{"acme/first", "acme/hang", "acme/never", "default/shop"}, names(s.Current()))
	})
}

// TestStore_LateLoadIsRepeated: a disk stands still for longer than a load may take. No file changes afterwards.
func TestStore_LateLoadIsRepeated(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	s := setupStore(t, t.TempDir(), "", func(o *bot.Options) {
		o.LoadTimeout = 50 * time.Millisecond
		o.CheckURL = func(string) error { <-hang; return nil }
	})
	s.write(t, "shop.yaml", goodBot)
	s.watch(t) // it begins with a load
	s.eventually(t, func() bool { return len(s.Status().BadFiles) == 1 })
	close(hang)
	s.eventually(t, func() bool { return len(s.Status().BadFiles) == 0 })
	require.Equal(t, "https://one.example/", s.url())
}

func TestStore_UnreadableTenantKeepsItsBots(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "acme", "own.yaml"), "bot: own\n")
	s := setupStore(t, dir, goodBot)
	require.NoError(t, os.Rename(filepath.Join(dir, "acme"), filepath.Join(dir, "away")))
	require.NoError(t, os.Symlink("acme", filepath.Join(dir, "acme")), "a link to itself cannot be read")
	s.write(t, "shop.yaml", otherBot)
	require.EqualError(t, s.Reload(), "acme: cannot be read: too many levels of symbolic links")
	require.Equal(t, "https://two.example/", s.url())
	require.Equal(t, []string{"acme/own", "away/own", "default/shop"}, names(s.Current()))
}

func TestStore_EarlierRevisionsStay(t *testing.T) {
	t.Parallel()

	text := func(name, file string) string {
		return "bot: shop\nsecrets: {" + name + ": {file: " + file + "}}\nsteps: {X: {webhook: {url: \"https://h.example/\", secret: " +
			name + "}}, Y: {code: {file: s.py}}}\n"
	}
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "one"), "first")
	writeFile(t, filepath.Join(dir, "two"), "second")
	writeFile(t, filepath.Join(dir, "s.py"), "def main(): 1")
	s := setupStore(t, dir, text("old", "one"))
	plan := func(step string) bot.Plan {
		b, _ := s.Current().Bot(schemas.BotID{Tenant: "default", Bot: "shop"})
		plan, err := b.Plan(step)
		require.NoError(t, err)
		return plan
	}
	secretOf := func(revision, name string) string {
		values, err := s.Secrets(schemas.BotID{Tenant: "default", Bot: "shop"}, revision, name)
		if err != nil {
			return err.Error()
		}
		return values[0].Reveal()
	}
	first, firstScript := plan("X").Revision, plan("Y").Code.Script

	s.write(t, "shop.yaml", text("new", "two"))
	s.write(t, "s.py", "def main(): 2")
	require.NoError(t, s.Reload())
	second, secondScript := plan("X").Revision, plan("Y").Code.Script
	require.Equal(t, "first", secretOf(first, "old"), "a running step lost its secret")
	require.Equal(t, "second", secretOf(second, "new"))
	require.Equal(t, "second", secretOf("unknown", "new"), "the bot in use decides")
	latest, ok := s.Latest(earlierPlan("shop", "Y", "s.py"))
	require.True(t, ok)
	require.Equal(t, "def main(): 2", latest)
	for _, other := range [][3]string{{"mall", "Y", "s.py"}, {"shop", "Z", "s.py"}, {"shop", "X", "s.py"}, {"shop", "Y", "t.py"}} {
		_, ok = s.Latest(earlierPlan(other[0], other[1], other[2]))
		require.False(t, ok, other)
	}
	require.Contains(t, secretOf(second, "old"), `secret "old" not found in this worker's bot file`)
	require.Contains(t, secretOf("unknown", "old"), "not found in this worker's bot file")

	s.write(t, "shop.yaml", text("old", "two"))
	require.NoError(t, s.Reload())
	require.Equal(t, "first", secretOf(first, "old"), "the name means what it meant")
	require.Equal(t, "second", secretOf(plan("X").Revision, "old"))

	require.NoError(t, os.Remove(filepath.Join(dir, "shop.yaml")))
	require.NoError(t, s.Reload())
	require.Equal(t, "first", secretOf(first, "old"), "the bot is gone, its steps are not")
	require.Contains(t, secretOf("unknown", "old"), "no bot file for default/shop")
	for _, id := range []string{firstScript, secondScript} {
		_, ok := s.Script(id)
		require.True(t, ok, "a running step lost its script")
	}
}

// earlierPlan is the plan of a step that runs a file, from before the start of the process.
func earlierPlan(name, step, file string) bot.Plan {
	return bot.Plan{BotID: schemas.BotID{Tenant: "default", Bot: name}, Step: step, Code: &bot.Code{File: file, Script: "lost"}}
}

// TestStore_LatestOfChannels: the plan of a channel's script has the script's name in place of a step, which may have the
// same name and another file.
func TestStore_LatestOfChannels(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "hook.py"), "def main(): 1")
	writeFile(t, filepath.Join(dir, "step.py"), "def main(): 2")
	s := setupStore(t, dir, "bot: shop\nscripts: {hook: {file: hook.py}, Y: {file: hook.py}}\nsteps: {Y: {code: {file: step.py}}}\n")
	for _, name := range []string{"hook", "Y"} {
		plan := earlierPlan("shop", name, "hook.py")
		_, ok := s.Latest(plan)
		require.False(t, ok, "a step")
		plan.Dialect = bot.DialectChannel
		latest, ok := s.Latest(plan)
		require.True(t, ok)
		require.Equal(t, "def main(): 1", latest)
	}
	plan := earlierPlan("shop", "Y", "step.py")
	plan.Dialect = bot.DialectChannel
	_, ok := s.Latest(plan)
	require.False(t, ok, "the script has another file")
}

func TestStore_RotationTakesEffectAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "key"), "first")
	s := setupStore(t, dir, "bot: shop\nsecrets: {key: {file: key}}\nsteps: {X: {webhook: {url: \"https://h.example/\"}}}\n")
	b, _ := s.Current().Bot(schemas.BotID{Tenant: "default", Bot: "shop"})
	plan, err := b.Plan("X")
	require.NoError(t, err)
	s.write(t, "key", "second")
	require.NoError(t, s.Reload())
	values, err := s.Secrets(schemas.BotID{Tenant: "default", Bot: "shop"}, plan.Revision, "key")
	require.NoError(t, err)
	require.Equal(t, "second", values[0].Reveal())
}
