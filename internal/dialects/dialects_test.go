package dialects_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/dialects"
)

var update = flag.Bool("update", false, "write the generated parts of schemas/ and docs/ again instead of comparing")

// generated are the parts of files that are made from the specs of dialects. Each pattern has the part as its group.
var generated = []struct {
	file    string
	pattern *regexp.Regexp
	make    func(dialect.Set) string
}{
	{
		"../../schemas/json/botfile.json",
		regexp.MustCompile(`"description": "The JSON that a partner's endpoint speaks\.",\s+"enum": (\[[^\]]*\])`),
		schemaEnum,
	},
	{
		"../../schemas/json/botfile.json",
		regexp.MustCompile(`"description": "Channel of a chat whose event names none\. [^"]*",\s+"enum": (\[[^\]]*\])`),
		func(set dialect.Set) string { return channelList(set, `"%s"`, "[", "]", ",\n            ") },
	},
	{
		"../../docs/bot-files.md", regexp.MustCompile(`(?s)<!-- generated: channels -->\n(.*?)<!-- end -->`),
		func(set dialect.Set) string { return channelList(set, "`%s`", "A channel is one of ", ".\n", ",\n") },
	},
	{"../../docs/bot-files.md", regexp.MustCompile(`(?s)<!-- generated: dialects -->\n(.*?)<!-- end -->`), defaultsTable},
}

// channelList lists the channels of adapters, five to a line.
func channelList(set dialect.Set, form, begin, end, wrap string) string {
	d, _ := set.Get(bot.DialectTwoWay)
	var lines []string
	for five := range slices.Chunk(d.Spec().Channels, 5) {
		var names []string
		for _, name := range five {
			names = append(names, fmt.Sprintf(form, name))
		}
		lines = append(lines, strings.Join(names, ", "))
	}
	return begin + strings.Join(lines, wrap) + end
}

// schemaEnum is the list of the values of the key dialect.
func schemaEnum(set dialect.Set) string {
	var quoted []string
	for _, name := range append(set.Names(), bot.DialectChannel) {
		quoted = append(quoted, fmt.Sprintf("%q", name))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// defaultsTable is the table of defaults in the page about bot files.
func defaultsTable(set dialect.Set) string {
	var table strings.Builder
	table.WriteString("| dialect | `timeout` | longest | `attempt_timeout` | attempts | good statuses | `on_failure` | `signature` | own keys |\n")
	table.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, spec := range set.Specs() {
		d, _ := set.Get(spec.Name)
		good, longest := "200", "10m"
		if d.GoodStatus(201) {
			good = "2xx"
		}
		if spec.TimeoutMax > 0 {
			longest = fmt.Sprintf("%d days", spec.TimeoutMax/(24*time.Hour))
		}
		name := "`" + spec.Name + "`"
		if spec.PartOf != "" {
			name += ", of each " + spec.PartOf
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %s | %d | %s | `%s` | %s | %s |\n", name, short(spec.Timeout), longest,
			short(spec.AttemptTimeout), spec.MaxAttempts, good, spec.OnFailure, codes(spec.Signature), codes(spec.Keys))
	}
	return table.String()
}

func short(d time.Duration) string { return fmt.Sprintf("%ds", d/time.Second) }

func codes(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "`" + strings.Join(names, "`, `") + "`"
}

func TestGenerated_SchemaAndDocument(t *testing.T) {
	t.Parallel()
	for _, g := range generated {
		text, err := os.ReadFile(g.file)
		require.NoError(t, err)
		place := g.pattern.FindSubmatchIndex(text)
		require.NotNil(t, place, "%s does not have the generated part", g.file)
		want := bytes.Join([][]byte{text[:place[2]], []byte(g.make(dialects.New(nil))), text[place[3]:]}, nil)
		if *update {
			require.NoError(t, os.WriteFile(g.file, want, 0o600))
			continue
		}
		require.Equal(t, string(want), string(text), "%s: run go generate ./internal/dialects", g.file)
	}
}

// TestSpecs_Contract is the table of the contract, section 3.
func TestSpecs_Contract(t *testing.T) {
	t.Parallel()
	type row struct {
		timeout, attempt time.Duration
		attempts         int
		onFailure        string
		signature        []string
	}
	want := map[string]row{
		"haptik": {30 * time.Second, 15 * time.Second, 3, "bot_break", []string{"hub-sha1"}},
		"loyjoy": {20 * time.Second, 20 * time.Second, 1, "continue", nil},
		"twoway": {60 * time.Second, 10 * time.Second, 4, "undelivered", nil},
		"plain":  {30 * time.Second, 15 * time.Second, 3, "bot_break", []string{"standard"}},
	}
	for _, s := range dialects.Specs() {
		got := row{s.Timeout, s.AttemptTimeout, s.MaxAttempts, s.OnFailure, s.Signature}
		require.Equal(t, want[s.Name], got, s.Name)
		delete(want, s.Name)
	}
	require.Empty(t, want)
}

func TestSpecs_HumanAssistance(t *testing.T) {
	t.Parallel()
	text := "human_assistance: true\nbase_urls: {test: https://x.example}\nsteps:\n" +
		"  H: {webhook: {path: /h}}\n  L: {webhook: {path: /l, dialect: loyjoy}}\n  P: {webhook: {path: /p, dialect: plain}}\n"
	b := loadBot(t, dialects.Specs(), text)
	for name, want := range map[string]string{"H": "handover", "L": "continue", "P": "handover"} {
		plan, err := b.Plan(name)
		require.NoError(t, err)
		require.Equal(t, want, plan.OnFailure, name)
	}
}

// loadBot loads a bot named shop.
func loadBot(t *testing.T, specs []bot.Spec, text string) *bot.Bot {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shop.yaml"), []byte("bot: shop\n"+text), 0o600))
	set, err := bot.Load(dir, bot.Options{Dialects: specs, WithoutSecrets: true})
	require.NoError(t, err)
	require.Len(t, set.Bots(), 1)
	return set.Bots()[0]
}

// toy is a dialect of a partner whose endpoints read and write {"say": "…"}. All that hookturn needs of a new dialect is
// in this type: the tests below register it, and no other package knows it.
type toy struct{ dialect.Dialect }

func (toy) Spec() bot.Spec {
	return bot.Spec{
		Name: "toy", Timeout: 7 * time.Second, AttemptTimeout: 3 * time.Second, MaxAttempts: 2, OnFailure: bot.OnFailureHandover,
		TimeoutMax: 48 * time.Hour, Keys: []string{"params"}, Signature: []string{bot.SignatureHubSHA256},
	}
}

func (toy) GoodStatus(status int) bool { return status == 200 }

func TestToy_BotFile(t *testing.T) {
	t.Parallel()
	set := dialect.New(append(all(t), toy{})...)
	b := loadBot(t, set.Specs(), "dialect: toy\nbase_urls: {test: https://x.example}\nsecrets: {key: {secret: key}}\n"+
		"steps:\n  GREET: {webhook: {path: /greet, secret: key, params: {a: 1}}}\n  SLOW: {webhook: {path: /slow, timeout: 47h}}\n")
	plan, err := b.Plan("GREET")
	require.NoError(t, err)
	require.Equal(t, "toy", plan.Dialect)
	require.Equal(t, bot.OnFailureHandover, plan.OnFailure)
	require.Equal(t, json.RawMessage("1"), plan.Webhook.Params["a"])
	require.Equal(t, []string{bot.SignatureHubSHA256}, plan.Webhook.Signature)
	require.Equal(t, []any{7 * time.Second, 3 * time.Second, 2},
		[]any{plan.Webhook.Timeout.D(), plan.Webhook.AttemptTimeout.D(), plan.Webhook.Retry.MaxAttempts})
	found, err := set.Get(plan.Dialect)
	require.NoError(t, err)
	require.IsType(t, toy{}, found, "the worker finds the encoder and decoder by the plan's dialect")
}

func TestToy_Problems(t *testing.T) {
	t.Parallel()
	set := dialect.New(append(all(t), toy{})...)
	dir := t.TempDir()
	text := "bot: shop\nbase_urls: {test: https://x.example}\nsteps:\n  A: {webhook: {path: /a, params: {}}}\n" +
		"  B: {webhook: {path: /b, dialect: tov}}\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shop.yaml"), []byte(text), 0o600))
	_, err := bot.Load(dir, bot.Options{Dialects: set.Specs()})
	require.ErrorContains(t, err, `$.steps.A.webhook.params: belongs to the loyjoy and toy dialect: this step speaks "haptik"`)
	require.ErrorContains(t, err, `"tov" is unknown: want one of haptik, loyjoy, plain, toy, twoway, channel`)
	require.NotContains(t, err.Error(), "$.steps.B.webhook.timeout")
}

func TestToy_SchemaAndDocument(t *testing.T) {
	t.Parallel()
	set := dialect.New(append(all(t), toy{})...)
	require.Contains(t, schemaEnum(set), `"toy"`)
	require.Contains(t, defaultsTable(set), "| `toy` | 7s | 2 days | 3s | 2 | 200 | `handover` | `hub-sha256` | `params` |")
}

// all are the registered dialects.
func all(t *testing.T) []dialect.Dialect {
	t.Helper()
	set := dialects.New(nil)
	var list []dialect.Dialect
	for _, name := range set.Names() {
		d, err := set.Get(name)
		require.NoError(t, err)
		list = append(list, d)
	}
	return list
}

func TestOptions_WithoutDialects(t *testing.T) {
	t.Parallel()
	_, err := bot.Load(t.TempDir(), bot.Options{})
	require.ErrorContains(t, err, "dialects.Specs()")
}
