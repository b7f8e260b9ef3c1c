package bot_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

// loadOne loads one bot named a.
func loadOne(t *testing.T, text string) *bot.Bot {
	t.Helper()
	set, err := load(t, map[string]string{"a.yaml": "bot: a\n" + text})
	require.NoError(t, err)
	a, ok := set.Bot(schemas.BotID{Tenant: "default", Bot: "a"})
	require.True(t, ok)
	return a
}

func TestSet_UnknownNames(t *testing.T) {
	t.Parallel()

	set, err := load(t, map[string]string{"a.yaml": "bot: a\ntenant: acme\n"})
	require.NoError(t, err)
	_, ok := set.Bot(schemas.BotID{Tenant: "default", Bot: "a"})
	require.False(t, ok, "a bot belongs to its tenant alone")
	a, ok := set.Bot(schemas.BotID{Tenant: "acme", Bot: "a"})
	require.True(t, ok)

	require.Equal(t, ": did you mean a?", set.Hint(schemas.BotID{Tenant: "acme", Bot: "A"}))
	require.Empty(t, set.Hint(schemas.BotID{Tenant: "default", Bot: "A"}), "a tenant does not read of another one's bots")

	_, err = a.Plan("NO\nSTEP")
	require.Equal(t, fault.UnknownStep, fault.Of(err).Kind)
	require.EqualError(t, err, `unknown_step: bot a does not have a step "NO\nSTEP"`)
}

func TestLoad_BaseURLOfEnvironment(t *testing.T) {
	t.Parallel()

	const bases = "base_urls: {test: \"https://test.example/b/\", production: \"https://production.example\"}\n" +
		"env_variables: {test: {E: t}, production: {E: p}}\n" +
		"steps: {X: {webhook: {path: /x}}, Y: {webhook: {url: \"https://y.example/\"}}}\n"
	tests := map[string]struct{ head, url, env string }{
		"default":    {"", "https://test.example/b/x", "t"},
		"production": {"environment: production\n", "https://production.example/x", "p"},
		"production has no say": {
			"environment: production\nbase_url_environment: test\n", "https://production.example/x", "p",
		},
		"test":                 {"environment: test\n", "https://test.example/b/x", "t"},
		"test uses production": {"base_url_environment: production\n", "https://production.example/x", "t"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := loadOne(t, test.head+bases)
			x, err := a.Plan("X")
			require.NoError(t, err)
			require.Equal(t, test.url, x.Webhook.URL)
			require.Equal(t, map[string]string{"E": test.env}, x.Env)
			y, err := a.Plan("Y")
			require.NoError(t, err)
			require.Equal(t, "https://y.example/", y.Webhook.URL)
		})
	}
}

func TestLoad_PathJoinedWithOneSlash(t *testing.T) {
	t.Parallel()

	for base, paths := range map[string]map[string]string{
		"https://h":    {"/x": "https://h/x", "x": "https://h/x", "//x": "https://h/x", "/": "https://h/"},
		"https://h/":   {"/x": "https://h/x", "x/": "https://h/x/", "?q=1": "https://h/?q=1"},
		"https://h/b/": {"/x": "https://h/b/x", "x//y": "https://h/b/x//y", "/...": "https://h/b/...", "x?q=/../": "https://h/b/x?q=/../"},
	} {
		for path, want := range paths {
			a := loadOne(t, "base_urls: {test: \""+base+"\"}\nsteps: {X: {webhook: {path: \""+path+"\"}}}\n")
			plan, err := a.Plan("X")
			require.NoError(t, err)
			require.Equal(t, want, plan.Webhook.URL, "%s and %s", base, path)
		}
	}
}

func TestLoad_OnFailure(t *testing.T) {
	t.Parallel()

	tests := map[string]struct{ head, step, want string }{
		"assistance":           {"human_assistance: true\n", "", bot.OnFailureHandover},
		"assistance overruled": {"human_assistance: true\n", ", on_failure: bot_break", bot.OnFailureBotBreak},
		"continue":             {"", ", on_failure: continue", bot.OnFailureContinue},
		"default":              {"", "", bot.OnFailureBotBreak},
		"handover":             {"", ", on_failure: handover", bot.OnFailureHandover},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := loadOne(t, test.head+"steps: {X: {webhook: {url: \"https://h/\""+test.step+"}}}\n")
			plan, err := a.Plan("X")
			require.NoError(t, err)
			require.Equal(t, test.want, plan.OnFailure)
		})
	}
}
