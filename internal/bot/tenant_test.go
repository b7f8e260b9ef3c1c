package bot_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/schemas"
)

// check loads files of several tenants, in production's way.
func check(t *testing.T, files map[string]string, change ...func(*bot.Options)) (*bot.Set, string, bot.Problems) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		writeFile(t, filepath.Join(dir, "bots", name), text)
	}
	for name, text := range map[string]string{
		"acme/key": "acme-secret-of-16-bytes", "other/key": "other-secret-of-16-bytes", "default/key": "default-secret-of-16-bytes",
		"acme/shared": "known-to-two-tenants", "other/shared": "known-to-two-tenants",
	} {
		writeFile(t, filepath.Join(dir, "secrets", name), text)
	}
	options := bot.Options{Dialects: dialects.Specs(), SecretsDir: filepath.Join(dir, "secrets"), LookupEnv: func(string) (string, bool) { return "", false }}
	for _, f := range change {
		f(&options)
	}
	set, problems, warnings, err := bot.Check(filepath.Join(dir, "bots"), options)
	require.NoError(t, err)
	return set, problems.Error(), warnings
}

func names(set *bot.Set) []string {
	list := []string{}
	for _, b := range set.Bots() {
		list = append(list, b.Tenant()+"/"+b.Name())
	}
	return list
}

func TestTenants_Directories(t *testing.T) {
	t.Parallel()
	set, problems, _ := check(t, map[string]string{
		"shop.yaml":        "bot: shop\n",
		"flat.yaml":        "bot: flat\ntenant: acme\n",
		"acme/shop.yaml":   "bot: shop\nsecrets: {k: {secret: key}}\n",
		"acme/said.yaml":   "bot: said\ntenant: acme\n",
		"acme/stolen.yaml": "bot: stolen\ntenant: other\n",
		"other/shop.yaml":  "bot: shop\n",
		"acme/notes.txt":   "no bot file", "acme/.hidden.yaml": "x", ".git/x.yaml": "x", "scripts/x.py": "main",
		"a.b/x.yaml": "bot: x\n",
	})
	require.Equal(t, []string{"acme/flat", "acme/said", "acme/shop", "default/shop", "other/shop"}, names(set))
	require.Equal(t, `a.b: has bot files, but is not named like a tenant: want 1 to 64 of A-Z a-z 0-9 _ -
acme/stolen.yaml:2:9: $.tenant: "other" differs from the name of the directory, which has the bots of one tenant: want "acme"`,
		problems)
	shop, _ := set.Bot(schemas.BotID{Tenant: "acme", Bot: "shop"})
	values, _ := shop.Secrets("k")
	require.Equal(t, "acme-secret-of-16-bytes", values[0].Reveal())
}

// TestTenants_Secrets: no file of one tenant names a secret of another, whatever it writes.
func TestTenants_Secrets(t *testing.T) {
	t.Parallel()
	for _, ref := range []string{
		"{file: ../other/key}", "{secret: ../other/key}", "{env: HOOKTURN_SECRET_OTHER_KEY}", "{env: HOOKTURN_NATS_URL}",
		"{env: PATH}", "{file: /etc/hostname}", "{env: TEMPORAL_API_KEY}",
	} {
		set, problems, _ := check(t, map[string]string{
			"acme/bad.yaml": "bot: bad\nsecrets: {k: " + ref + "}\n", "acme/good.yaml": "bot: good\nsecrets: {k: {secret: key}}\n",
			"other/shop.yaml": "bot: shop\nsecrets: {k: {secret: key}}\n",
		})
		require.Equal(t, []string{"acme/good", "other/shop"}, names(set), ref)
		require.Contains(t, problems, "acme/bad.yaml:2:", ref)
	}
}

// TestTenants_Scripts: a script stands in the directory of its bot file, and no link leads out of a tenant's.
func TestTenants_Scripts(t *testing.T) {
	t.Parallel()
	const step = "steps: {X: {code: {file: FILE}}}\nbot_break: {default: x}\n"
	dir := t.TempDir()
	write := func(name, file string) {
		writeFile(t, filepath.Join(dir, name+".yaml"), "bot: "+filepath.Base(name)+"\n"+strings.ReplaceAll(step, "FILE", file))
	}
	for _, name := range []string{"own.py", "acme/own.py", "other/own.py", "lib/own.py"} {
		writeFile(t, filepath.Join(dir, name), "def main(event, context): pass\n")
	}
	require.NoError(t, os.Symlink("../other/own.py", filepath.Join(dir, "acme", "link.py")))
	write("good", "own.py")
	write("library", "lib/own.py")
	write("theirs", "other/own.py")
	write("acme/good", "own.py")
	write("acme/link", "link.py")
	write("acme/up", "../other/own.py")
	write("other/good", "own.py")
	set, problems, _, err := bot.Check(dir, bot.Options{Dialects: dialects.Specs()})
	require.NoError(t, err)
	require.Equal(t, []string{"acme/good", "default/good", "default/library", "other/good"}, names(set))
	require.Len(t, problems, 3)
	require.Contains(t, problems.Error(), "theirs.yaml:2:26: $.steps.X.code.file: stands in the directory of tenant other")
}

const doors = `
secrets: {k: {secret: NAME}}
adapters: {agents: {account: "1", product_token: k}}
channels: [{code: in, type: public, id: 6f1b1d3c-6f0e-4a43-9a07-2f2f5f7e2d51, token_local: k}]
`

func TestTenants_Clashes(t *testing.T) {
	t.Parallel()
	own := strings.ReplaceAll(doors, "NAME", "key")
	set, problems, warnings := check(t, map[string]string{
		"aaa.yaml": "bot: aaa\n", "acme/shop.yaml": "bot: shop" + own, "other/shop.yaml": "bot: shop" + own,
		"acme/twin.yaml": "bot: twin" + own, // of the same tenant
		"shop.yaml":      "bot: shop\ntenant: other" + strings.ReplaceAll(own, "6f1b", "7f1b"),
	})
	require.Equal(t, []string{"acme/shop", "default/aaa", "other/shop"}, names(set), "no tenant keeps another one's bot away")
	require.Contains(t, problems, "acme/twin.yaml:3:12: $.adapters.agents: bot shop has an adapter of this name and account already")
	require.Contains(t, problems, "acme/twin.yaml:4:41: $.channels[0].id: is that of channel in of bot shop")
	require.Contains(t, problems, "acme/twin.yaml:4:92: $.channels[0].token_local: opens channel in of bot shop already")
	require.Contains(t, problems, "shop.yaml:1:6: $.bot: is the bot of other/shop.yaml, a file in the tenant's own directory")
	require.Empty(t, warnings)

	for tenant, token := range map[string]string{"acme": "acme-secret-of-16-bytes", "other": "other-secret-of-16-bytes"} {
		b, _, ok := set.Adapter("1", "agents", token)
		require.True(t, ok)
		require.Equal(t, tenant, b.Tenant())
	}
	for _, token := range []string{"", "x"} {
		_, _, ok := set.Adapter("1", "agents", token)
		require.False(t, ok)
	}
}

func TestTenants_SharedTokenOpensNothing(t *testing.T) {
	t.Parallel()
	shared := strings.ReplaceAll(doors, "NAME", "shared")
	set, problems, warnings := check(t, map[string]string{"acme/shop.yaml": "bot: shop" + shared, "other/shop.yaml": "bot: shop" + shared})
	require.Equal(t, []string{"acme/shop", "other/shop"}, names(set))
	require.Empty(t, problems)
	require.Len(t, warnings, 2)
	require.Equal(t, "acme/shop.yaml:4:92: $.channels[0].token_local: another tenant has the same token: it opens neither channel, "+
		"replace it", warnings[0].String())
	b, _ := set.Bot(schemas.BotID{Tenant: "acme", Bot: "shop"})
	require.Len(t, set.ChannelsByToken(b.TokenSums(b.Channels()[0])[0]), 2, "for the registry, which opens neither")
	_, _, ok := set.Adapter("1", "agents", "known-to-two-tenants")
	require.False(t, ok)
}

func TestTenants_LicencesAreDivided(t *testing.T) {
	t.Parallel()
	channels := func(n int) string {
		var text strings.Builder
		text.WriteString("\nchannels:\n")
		for i := range n {
			text.WriteString("- {code: c" + string(rune('a'+i)) + ", type: public}\n")
		}
		return text.String()
	}
	files := map[string]string{
		"aaa/one.yaml": "bot: one" + channels(3), "aaa/two.yaml": "bot: two" + channels(9),
		"bbb/one.yaml": "bot: one" + channels(2), "ccc/one.yaml": "bot: one" + channels(1), "ddd/one.yaml": "bot: one\n",
	}
	licence := func(n int) func(*bot.Options) {
		return func(o *bot.Options) { o.Licences = map[string]int{"public": n} }
	}
	set, problems, _ := check(t, files, licence(6))
	require.Equal(t, []string{"aaa/one", "bbb/one", "ccc/one", "ddd/one"}, names(set))
	require.Contains(t, problems, "aaa/two.yaml:3:20: $.channels[0].type: is one channel too many: the licence allows 3 of the type "+
		"public to tenant aaa")
	set, _, _ = check(t, files, licence(15))
	require.Len(t, names(set), 5)
	set, _, _ = check(t, files, licence(0))
	require.Equal(t, []string{"ddd/one"}, names(set))
}

func TestLoad_PipeDoesNotBlock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "good.yaml"), "bot: good\n")
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe.yaml"), 0o600))
	set, problems, _, err := bot.Check(dir, bot.Options{Dialects: dialects.Specs()})
	require.NoError(t, err)
	require.Equal(t, []string{"default/good"}, names(set))
	require.Equal(t, "pipe.yaml: cannot be read: it is not a regular file", problems.Error())
}

func TestCheck_Warnings(t *testing.T) {
	t.Parallel()
	const hook = "steps: {X: {webhook: {url: \"https://h.example/\"KEYS}}}\n"
	for keys, want := range map[string]string{
		"":                            "$: has no bot_break: when step X fails, the user reads nothing",
		", on_failure: continue":      "",
		", dialect: loyjoy":           "",
		", secret: k, dialect: plain": "is not a whsec_ secret",
		", on_failure: continue, dialect: plain, timeout: 3h": "",
	} {
		_, problems, warnings := check(t, map[string]string{
			"a.yaml": "bot: a\nsecrets: {k: {secret: key}}\n" + strings.ReplaceAll(hook, "KEYS", keys),
		})
		require.Empty(t, problems)
		if want == "" {
			require.Empty(t, warnings, keys)
			continue
		}
		require.Contains(t, warnings.Error(), want, keys)
	}
}
