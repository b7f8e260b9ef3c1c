package bot

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fuzzDialects stand for those of internal/dialects, which imports this package.
var fuzzDialects = []Spec{
	{Name: DialectHaptik, Timeout: time.Minute, AttemptTimeout: time.Second, MaxAttempts: 3, OnFailure: OnFailureBotBreak},
	{Name: "loyjoy", Timeout: time.Minute, AttemptTimeout: time.Second, MaxAttempts: 1, OnFailure: OnFailureContinue, Keys: []string{"params"}},
	{Name: DialectTwoWay, PartOf: "adapter", Timeout: time.Minute, AttemptTimeout: time.Second, MaxAttempts: 4, OnFailure: OnFailureUndelivered},
	{
		Name: DialectPlain, Timeout: time.Minute, AttemptTimeout: time.Second, MaxAttempts: 3, OnFailure: OnFailureBotBreak,
		Keys: []string{"request", "response"},
	},
}

// FuzzReadBot reads anything as a bot file: the result is either a bot whose plans are complete, or problems that say
// where.
func FuzzReadBot(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*.yaml", "testdata/good/*.yaml"} {
		paths, err := filepath.Glob(pattern)
		require.NoError(f, err)
		require.NotEmpty(f, paths)
		for _, path := range paths {
			data, err := os.ReadFile(path)
			require.NoError(f, err)
			f.Add(data)
		}
	}
	f.Add([]byte("bot: x\nchannels: &a [*a]\n"))
	f.Add([]byte("bot: x\nsteps: &a {X: *a}\n"))
	f.Add([]byte("bot: x\nsteps: {? : {}}\n"))
	options := Options{
		Dialects:  fuzzDialects,
		LookupEnv: func(string) (string, bool) { return "hunter2", true }, FreeSecrets: true,
	}.withDefaults()

	f.Fuzz(func(t *testing.T, data []byte) {
		r := readBot("x.yaml", data, home{path: "/absent"}, options, func() bool { return false })
		bot, problems := r.bot, r.problems
		require.Equal(t, bot == nil, len(problems) > 0)
		for _, p := range problems {
			require.Equal(t, "x.yaml", p.File)
			require.NotEmpty(t, p.Message)
			require.NotContains(t, p.String(), "\n")
		}
		if bot == nil {
			return
		}
		require.Equal(t, "x", bot.Name())
		for _, name := range bot.Steps() {
			requireComplete(t, bot, name)
		}
	})
}

func requireComplete(t *testing.T, bot *Bot, name string) {
	t.Helper()
	plan, err := bot.Plan(name)
	require.NoError(t, err)
	require.NotNil(t, plan.Webhook)
	u, err := url.Parse(plan.Webhook.URL)
	require.NoError(t, err)
	require.Equal(t, "https", u.Scheme)
	require.NotEmpty(t, u.Hostname())
	require.NotContains(t, strings.Split(u.Path, "/"), "..")
	require.Positive(t, plan.Webhook.AttemptTimeout)
	require.LessOrEqual(t, plan.Webhook.AttemptTimeout, plan.Webhook.Timeout)
	require.Positive(t, plan.Webhook.Retry.MaxAttempts)
	require.LessOrEqual(t, plan.Webhook.Retry.Initial, plan.Webhook.Retry.Max)
	require.NotEmpty(t, plan.OnFailure)

	// What a history stores is what the step gets back.
	text, err := json.Marshal(plan)
	require.NoError(t, err)
	require.NotContains(t, string(text), "hunter2")
	var again Plan
	require.NoError(t, json.Unmarshal(text, &again))
	text2, err := json.Marshal(again)
	require.NoError(t, err)
	require.JSONEq(t, string(text), string(text2))
}
