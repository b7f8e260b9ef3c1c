package bot_test

import (
	"crypto/sha256"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/schemas"
)

const channelBot = `
bot: NAME
secrets: {new: {file: token_new}, old: {file: token_old}, both: [{file: token_new}, {file: token_old}]}
scripts: {hook: {file: present.py}}
channels:
  - {code: one, type: public, token_local: TOKEN, recv_svcscriptcode: hook, opts: {recv_timeout: 3}}
  - {code: feed, type: subscriber, ID}
`

func channelFile(name, token, id string) string {
	return strings.NewReplacer("NAME", name, "TOKEN", token, "ID", id).Replace(channelBot)
}

func TestSet_ChannelsByToken(t *testing.T) {
	t.Parallel()
	set, err := load(t, map[string]string{"a.yaml": channelFile("a", "both", "opts: {}")})
	require.NoError(t, err)
	for _, token := range []string{"hunter-new-token", "hunter-old-token"} {
		all := set.ChannelsByToken(sha256.Sum256([]byte(token)))
		require.Len(t, all, 1)
		ch := all[0]
		require.Equal(t, "one", ch.Code)
		require.Equal(t, 3*time.Second, ch.Timeout())
	}
	require.Empty(t, set.ChannelsByToken(sha256.Sum256(nil)))
	b, _ := set.Bot(schemas.BotID{Tenant: "default", Bot: "a"})
	feed, ok := b.Channel("feed")
	require.True(t, ok)
	require.Equal(t, 10*time.Second, feed.Timeout())
	require.False(t, feed.Scripted())
	plan, err := b.ScriptPlan("hook")
	require.NoError(t, err)
	require.Equal(t, []string{"default", "a", "hook", "channel"}, []string{plan.Tenant, plan.Bot, plan.Step, plan.Dialect})
	_, err = b.ScriptPlan("unknown")
	require.ErrorContains(t, err, "has no script")
}

func TestSet_ChannelsOfSeveralBots(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"a.yaml": channelFile("a", "both", "id: 6f1b1d3c-6f0e-4a43-9a07-2f2f5f7e2d51"),
		"b.yaml": channelFile("b", "old", "id: 6F1B1D3C-6F0E-4A43-9A07-2F2F5F7E2D51"),
	}
	_, err := load(t, files, func(o *bot.Options) { o.Licences = map[string]int{"public": 1, "subscriber": 2} })
	require.EqualError(t, err, strings.Join([]string{
		"b.yaml:6:23: $.channels[0].type: is one channel too many: the licence allows 1 of the type public to tenant default",
		"b.yaml:6:44: $.channels[0].token_local: opens channel one of bot a already",
		"b.yaml:7:40: $.channels[1].id: is that of channel feed of bot a",
	}, "\n"))
}

func TestSet_AdaptersOfSeveralBots(t *testing.T) {
	t.Parallel()
	const file = "bot: NAME\nsecrets: {t: {file: token_new}}\nadapters:\n  agents: {account: ACCOUNT, product_token: t}\n"
	text := func(name, account string) string {
		return strings.NewReplacer("NAME", name, "ACCOUNT", account).Replace(file)
	}
	set, err := load(t, map[string]string{"a.yaml": text("a", `"1"`), "b.yaml": text("b", `"2"`)})
	require.NoError(t, err)
	b, adapter, ok := set.Adapter("2", "agents", "hunter-new-token")
	require.True(t, ok)
	require.Equal(t, []string{"b", "agents"}, []string{b.Name(), adapter.Name})
	_, _, ok = set.Adapter("3", "agents", "hunter-new-token")
	require.False(t, ok)
	_, err = load(t, map[string]string{"a.yaml": text("a", `"1"`), "b.yaml": text("b", `"1"`)})
	require.EqualError(t, err, "b.yaml:4:3: $.adapters.agents: bot a has an adapter of this name and account already")
	closed := strings.NewReplacer("product_token: t", `message_endpoint: {url: "https://x.example/"}`)
	set, err = load(t, map[string]string{"a.yaml": closed.Replace(text("a", `"1"`)), "b.yaml": closed.Replace(text("b", `"1"`))})
	require.NoError(t, err, "without a product token there is no outbound URL to share")
	_, _, ok = set.Adapter("1", "agents", "hunter-new-token")
	require.False(t, ok)
}

func TestChannel_Admits(t *testing.T) {
	t.Parallel()
	ch := bot.Channel{IPMask: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32")}}
	for address, inside := range map[string]bool{
		"203.0.113.9": true, "::ffff:203.0.113.9": true, "203.0.114.1": false, "2001:db8::1": true, "::1": false,
	} {
		require.Equal(t, inside, ch.Admits(netip.MustParseAddr(address)), address)
	}
	require.False(t, ch.Admits(netip.Addr{}), "an invalid address")
	require.True(t, (&bot.Channel{}).Admits(netip.MustParseAddr("::1")))
}

func TestChannel_EntityWithoutTokens(t *testing.T) {
	t.Parallel()
	ch := bot.Channel{Code: "c", TokenLocal: "a", TokenRemote: "b", TokenRemote2: "c", URL: "https://x.example"}
	text, err := json.Marshal(ch.Entity())
	require.NoError(t, err)
	require.NotContains(t, string(text), "token")
	require.Contains(t, string(text), "https://x.example")
}

func TestChannel_FromAdminAPI(t *testing.T) {
	t.Parallel()
	set, err := load(t, map[string]string{"a.yaml": channelFile("a", "new", "opts: {}")})
	require.NoError(t, err)
	b, _ := set.Bot(schemas.BotID{Tenant: "default", Bot: "a"})
	ch, err := bot.ReadChannel(b, []byte(`{"code":"late","type":"public","recv_svcscriptcode":"hook","token_remote":"old"}`), testOptions())
	require.NoError(t, err)
	require.Equal(t, []string{"default", "a", "late"}, []string{ch.Tenant, ch.Bot, ch.Code})
	for text, want := range map[string]string{
		`{"code":"x"}`: "$.type: is missing",
		`{"code":"x","type":"public","recv_svcscriptcode":"y"}`:   "names a script that is not defined",
		`{"code":"x","type":"public","token_local":"y"}`:          "names a secret that is not defined",
		`{"code":"x","type":"public","unknown":1}`:                "$.unknown: unknown key",
		`{"code":"x","type":"public","opts":{"recv_timeout":61}}`: "out of bounds",
		`[`: "invalid YAML",
		``:  "the file is empty",
		`7`: "want a mapping",
		`{"code":"x","type":"public","url":"http://x.example"}`: "plain http",
	} {
		_, err := bot.ReadChannel(b, []byte(text), testOptions())
		require.ErrorContains(t, err, want, text)
	}
}

func TestChannels_NullAndEmptyMembersAbsent(t *testing.T) {
	t.Parallel()
	const file = "bot: shop\nscripts: {hook: {file: hook.py}}\nchannel_types: [{type: crm, url: \"https://crm.example/\", issync: true}]\nchannels:\n"
	for _, channels := range []string{
		`- {code: one, type: public, id: null, token_local: "", token_remote: null, url: "", ip_mask: "", recv_svcscriptcode: "", opts: "", ext: null}`,
		`- {code: one, type: public, send_svcscriptcode: null, opts: {title: null, roles: null, userid: "", issync: null, filter_capabilities: ""}}`,
		`- {code: one, type: crm, url: "", opts: {issync: true, recv_timeout: 0}, ext: {a: null}}`,
		`- {code: one, type: crm, url: "https://crm.example/", opts: {userid: 1234567-1b2c-4d3e-8f90-0123456789ab}}`,
	} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "hook.py"), []byte("def main(event, context): pass"), 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "shop.yaml"), []byte(file+channels+"\n"), 0o600))
		set, err := bot.Load(dir, bot.Options{Dialects: dialects.Specs()})
		require.NoError(t, err, channels)
		b := set.Bots()[0]
		require.False(t, b.Modified().IsZero())
		require.Len(t, b.Channels()[0].ID, 36, "a UUID is made")
		require.Empty(t, b.Channels()[0].TokenLocal)
		require.Empty(t, b.Channels()[0].Ext)
	}
}

// TestChannels_Capabilities: a list names the capabilities that are open, also one without an element; without one all are.
func TestChannels_Capabilities(t *testing.T) {
	t.Parallel()
	for text, open := range map[string][]string{
		"*": {"msg", "svcscript"}, `""`: {"msg", "svcscript"}, "null": {"msg", "svcscript"}, "[msg]": {"msg"}, "[]": nil,
	} {
		dir := t.TempDir()
		file := "bot: shop\nchannels: [{code: one, type: public, opts: {filter_capabilities: '*'}}]\n"
		if text != "*" {
			file = strings.Replace(file, "'*'", text, 1)
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, "shop.yaml"), []byte(file), 0o600))
		set, err := bot.Load(dir, bot.Options{Dialects: dialects.Specs()})
		require.NoError(t, err, text)
		ch := set.Bots()[0].Channels()[0]
		require.Equal(t, slices.Contains(open, "msg"), ch.Capable("msg"), text)
		require.Equal(t, slices.Contains(open, "svcscript"), ch.Capable("svcscript"), text)
		kept, err := json.Marshal(ch.Opts)
		require.NoError(t, err)
		var again bot.ChannelOpts
		require.NoError(t, json.Unmarshal(kept, &again))
		require.Equal(t, ch.Opts, again, "as it travels to scripts")
	}
}
