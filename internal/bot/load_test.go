package bot_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/schemas"
)

// testOptions know a few secrets, and files beside the bot files.
func testOptions() bot.Options {
	env := map[string]string{
		"ORDERS": "hunter2", "ORDERS_NEW": "hunter3", "EMPTY": "", "TWO_LINES": "Bearer hunter2\nX",
	}
	return bot.Options{
		Dialects:  dialects.Specs(),
		LookupEnv: func(name string) (string, bool) { text, ok := env[name]; return text, ok }, FreeSecrets: true,
	}
}

// extraFiles stand beside the bot files of every test.
var extraFiles = map[string]string{
	"present": "Bearer hunter4\n", "present.py": "def main(event, context): pass\n",
	"long.py": strings.Repeat("#", bot.ScriptMax+1), "latin.py": "# caf\xe9 main", "nul.py": "#\x00 main", "no_main.py": "x = 1",
	"token_new": "hunter-new-token", "token_old": "hunter-old-token", "long_token": "hunter-long-token",
}

// directory writes bot files, and the extra files, into a directory of their own.
func directory(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for _, list := range []map[string]string{extraFiles, files} {
		for name, text := range list {
			writeFile(t, filepath.Join(dir, name), text)
		}
	}
	return dir
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

// load loads bot files from a directory of their own.
func load(t *testing.T, files map[string]string, change ...func(*bot.Options)) (*bot.Set, error) {
	t.Helper()
	options := testOptions()
	for _, f := range change {
		f(&options)
	}
	return bot.Load(directory(t, files), options)
}

var marker = regexp.MustCompile(`(?m)^# ([a-z]+): (.*)$`)

// TestLoad_BadFiles loads the files of testdata/bad one by one. Each lists its problems at its end:
//
//	# want: 7:5: $.key: text
func TestLoad_BadFiles(t *testing.T) {
	t.Parallel()

	paths, err := filepath.Glob("testdata/bad/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		name := filepath.Base(path)
		t.Run(strings.TrimSuffix(name, ".yaml"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			var want []string
			for _, m := range marker.FindAllStringSubmatch(string(text), -1) {
				require.Equal(t, "want", m[1], "unknown marker")
				want = append(want, m[2])
			}
			require.NotEmpty(t, want, "the file does not list a problem")

			set, err := load(t, map[string]string{name: string(text)})
			require.Nil(t, set)
			var problems bot.Problems
			require.ErrorAs(t, err, &problems)
			var got []string
			for line := range strings.Lines(problems.Error()) {
				rest := strings.TrimPrefix(strings.TrimSuffix(line, "\n"), name+":")
				got = append(got, strings.TrimPrefix(rest, " "))
			}
			require.Equal(t, want, got)
			require.NotContains(t, problems.Error(), "hunter", "a problem shows a secret")
		})
	}
}

func TestLoad_GoodFile(t *testing.T) {
	t.Parallel()

	text, err := os.ReadFile("testdata/good/shop.yaml")
	require.NoError(t, err)
	set, err := load(t, map[string]string{
		"shop.yaml": string(text), ".#shop.yaml": "an editor's", "notes.txt": "ignored",
	})
	require.NoError(t, err)

	shop, ok := set.Bot(schemas.BotID{Tenant: "acme", Bot: "shop"})
	require.True(t, ok)
	require.Equal(t, []*bot.Bot{shop}, set.Bots())
	require.Equal(t, "acme", shop.Tenant())
	require.Equal(t, "shop", shop.Name())
	require.Equal(t, bot.OrderingNone, shop.Ordering())
	require.Equal(t, "1h30m0s", shop.IdleTimeout().String())
	require.Equal(t, bot.OnFailureHandover, shop.OnFailure())
	require.Equal(t, "Beklager", shop.BotBreak().For("no"))

}

// TestLoad_Plans holds what every step, channel and adapter of testdata/good becomes against the file beside it.
func TestLoad_Plans(t *testing.T) {
	t.Parallel()

	paths, err := filepath.Glob("testdata/good/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			set, err := load(t, map[string]string{name + ".yaml": string(text)})
			require.NoError(t, err)
			got, err := json.MarshalIndent(plansOf(t, set.Bots()[0]), "", "  ")
			require.NoError(t, err)
			golden, err := os.ReadFile("testdata/good/" + name + ".plans.json")
			require.NoError(t, err)
			require.Equal(t, strings.TrimSpace(string(golden)), string(got))
			require.NotContains(t, string(got), "hunter", "a plan holds a secret")
		})
	}
}

func plansOf(t *testing.T, b *bot.Bot) map[string]any {
	t.Helper()
	plans := map[string]any{}
	for _, step := range b.Steps() {
		plan, err := b.Plan(step)
		require.NoError(t, err)
		plans[step] = plan
	}
	for _, channel := range b.Channels() {
		plans["channel "+channel.Code] = channel
	}
	for _, adapter := range b.Adapters() {
		for _, event := range []string{"message.received", "conversation.event", "conversation.handover"} {
			if plan, ok := adapter.Plan("hookturn." + event); ok {
				plans[adapter.Name+" "+event] = plan
			}
		}
	}
	return plans
}

func TestLoad_Secrets(t *testing.T) {
	t.Parallel()

	set, err := load(t, map[string]string{
		"shop.yaml":  "bot: shop\nsecrets: {orders: [{env: ORDERS_NEW}, {env: ORDERS}], bearer: {file: present}}\n",
		"other.yaml": "bot: other\n",
	})
	require.NoError(t, err)
	shop, _ := set.Bot(schemas.BotID{Tenant: "default", Bot: "shop"})
	other, _ := set.Bot(schemas.BotID{Tenant: "default", Bot: "other"})

	orders, ok := shop.Secrets("orders")
	require.True(t, ok)
	require.Len(t, orders, 2)
	require.Equal(t, "hunter3", orders[0].Reveal())
	require.Equal(t, "hunter2", orders[1].Reveal())

	clear(orders)
	again, _ := shop.Secrets("orders")
	require.Equal(t, "hunter3", again[0].Reveal(), "a caller changed the bot")

	bearer, ok := shop.Secrets("bearer")
	require.True(t, ok)
	require.Equal(t, "Bearer hunter4", bearer[0].Reveal())

	_, ok = other.Secrets("orders")
	require.False(t, ok, "a bot sees another bot's secret")
}

func TestLoad_Directory(t *testing.T) {
	t.Parallel()

	tests := map[string]struct {
		files map[string]string
		want  string // the error; "" when there is none
	}{
		"all files, in order": {
			files: map[string]string{"b.yaml": "bot: b\nx: 1\n", "a.yaml": "bot: a\nx: 1\ny: 2\n"},
			want:  "a.yaml:2:1: $.x: unknown key\na.yaml:3:1: $.y: unknown key\nb.yaml:2:1: $.x: unknown key",
		},
		"byte order mark": {files: map[string]string{"a.yaml": "\uFEFFbot: a\n"}},
		"empty":           {},
		"large": {
			files: map[string]string{"a.yaml": "bot: a\n#" + strings.Repeat("x", 256<<10)},
			want:  "a.yaml: the file is larger than 262144 bytes",
		},
		"not text": {
			files: map[string]string{"a.yaml": "bot: \xff\n"},
			want:  "a.yaml: the file is not valid UTF-8",
		},
		"two files of one bot": {
			files: map[string]string{"a.yaml": "bot: a\n", "b.yaml": "bot: a\n"},
			want:  `b.yaml:1:6: $.bot: "a" differs from the name of the file: want "b"`,
		},
		"yml": {
			files: map[string]string{"a.yaml": "bot: a\n", "b.yml": "bot: b\n"},
			want:  "b.yml: the name of a bot file ends in .yaml: rename it",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set, err := load(t, test.files)
			if test.want != "" {
				require.EqualError(t, err, test.want)
				return
			}
			require.NoError(t, err)
			require.Len(t, set.Bots(), len(test.files))
		})
	}
}

func TestLoad_MissingDirectory(t *testing.T) {
	t.Parallel()

	_, err := bot.Load(filepath.Join(t.TempDir(), "absent"), bot.Options{Dialects: dialects.Specs()})
	require.ErrorIs(t, err, fs.ErrNotExist)
	var problems bot.Problems
	require.NotErrorAs(t, err, &problems)
}

func TestLoad_AllowPlainHTTP(t *testing.T) {
	t.Parallel()

	set, err := load(t, map[string]string{
		"a.yaml": "bot: a\nbase_urls: {test: \"http://127.0.0.1:8080\"}\nsteps: {X: {webhook: {path: orders}}}\n",
	}, func(o *bot.Options) { o.AllowPlainHTTP = true })
	require.NoError(t, err)
	a, _ := set.Bot(schemas.BotID{Tenant: "default", Bot: "a"})
	plan, err := a.Plan("X")
	require.NoError(t, err)
	require.Equal(t, "http://127.0.0.1:8080/orders", plan.Webhook.URL)
}

// TestLoad_Example loads the bot files that newcomers copy, from the real directory with the real file system.
func TestLoad_Example(t *testing.T) {
	t.Parallel()

	set, err := bot.Load("../../examples/bots", bot.Options{Dialects: dialects.Specs(), AllowPlainHTTP: true, SecretsDir: "../../examples/secrets"})
	require.NoError(t, err)
	shop, ok := set.Bot(schemas.BotID{Tenant: "default", Bot: "shop"})
	require.True(t, ok)
	require.True(t, slices.Contains(shop.Steps(), "ORDER_STATUS"))
	plan, err := shop.Plan("ORDER_STATUS")
	require.NoError(t, err)
	require.Equal(t, []string{bot.SignatureHubSHA1}, plan.Webhook.Signature)
	_, ok = shop.Secrets(plan.Webhook.Secret)
	require.True(t, ok)
}

func TestLoad_RegularFilesOnly(t *testing.T) {
	t.Parallel()

	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "a.yaml"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "huge"), make([]byte, 1<<20+1), 0o600))
	const text = "bot: b\nsecrets: {s: {file: huge}}\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "b.yaml"), []byte(text), 0o600))
	_, err := bot.Load(dir, bot.Options{Dialects: dialects.Specs(), FreeSecrets: true})
	require.EqualError(t, err, "a.yaml: cannot be read: it is not a regular file\n"+
		"b.yaml:2:11: $.secrets.s: the file cannot be read: it is larger than 65552 bytes")
}
