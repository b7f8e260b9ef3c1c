package cli_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/secret"
)

const (
	goodBot = `bot: shop
base_urls: {test: "https://shop.example"}
secrets: {orders: {secret: orders}}
bot_break: {default: "Sorry."}
steps: {ORDER: {webhook: {path: /orders, secret: orders}}, REFUND: {webhook: {path: /refund}}}
`
	badBot = `bot: shop
colour: red
base_urls: {test: "https://shop.example"}
steps: {ORDER: {webhook: {path: /orders, timeout: soon}}}
`
	insideBot = `bot: inside
base_urls: {test: "https://10.1.2.3"}
bot_break: {default: "Sorry."}
steps: {ORDER: {webhook: {path: /orders}}}
`
)

func TestValidate_ListsGoodBots(t *testing.T) {
	t.Parallel()
	dir := directory(t, map[string]string{"shop.yaml": goodBot, "notes.txt": "no bot file"})
	w := &world{env: map[string]string{"HOOKTURN_SECRET_DEFAULT_ORDERS": "hidden"}}
	require.Equal(t, "ok: bot shop of tenant default, 2 steps\n", succeed(t, w, "validate", dir))
	require.Empty(t, w.err.String())
}

func TestValidate_PrintsEveryProblem(t *testing.T) {
	t.Parallel()
	dir := directory(t, map[string]string{"shop.yaml": badBot, "other.yaml": "bot: another\nsteps: {}\n"})
	w := &world{}
	require.Empty(t, fail(t, w, "validate", dir), "the problems are the command's output, not its own failure")
	out := w.out.String()
	for _, want := range []string{
		"other.yaml:1:6: $.bot: ", "shop.yaml:2:1: $.colour: unknown key", "shop.yaml:4:51: $.steps.ORDER.webhook.timeout: ",
	} {
		require.Contains(t, out, want)
	}
	require.NotContains(t, out, "ok: ")
}

func TestValidate_MissingSecret(t *testing.T) {
	t.Parallel()
	w := &world{}
	require.Empty(t, fail(t, w, "validate", directory(t, map[string]string{"shop.yaml": goodBot})))
	require.Equal(t, "shop.yaml:3:11: $.secrets.orders: environment variable "+
		"HOOKTURN_SECRET_DEFAULT_ORDERS is not set, and there is no --secrets-dir\n", w.out.String())
}

func TestValidate_GoodAndBad(t *testing.T) {
	t.Parallel()
	dir := directory(t, map[string]string{"shop.yaml": goodBot, "other.yaml": "bot: other\ncolour: red\n"})
	w := &world{}
	require.Empty(t, fail(t, w, "validate", dir, "--without-secrets"))
	require.Equal(t, "other.yaml:2:1: $.colour: unknown key\nok: bot shop of tenant default, 2 steps\n", w.out.String())
}

func TestValidate_WithoutSecrets(t *testing.T) {
	t.Parallel()
	dir := directory(t, map[string]string{"shop.yaml": goodBot})
	const ok = "ok: bot shop of tenant default, 2 steps\n"
	require.Equal(t, ok, succeed(t, &world{}, "validate", dir, "--without-secrets"))

	outside := directory(t, map[string]string{"shop.yaml": strings.Replace(goodBot, "{secret: orders}", "{env: NATS_URL}", 1)})
	w := &world{}
	require.Empty(t, fail(t, w, "validate", outside, "--without-secrets"))
	require.Contains(t, w.out.String(), "$.secrets.orders: the variable is not a secret of tenant default")
}

func TestValidate_Warns(t *testing.T) {
	t.Parallel()
	dir := directory(t, map[string]string{"shop.yaml": "bot: shop\nsteps: {X: {webhook: {url: \"https://shop.example/\"}}}\n"})
	require.Equal(t, "warning: shop.yaml:1:1: $: has no bot_break: when step X fails, the user reads nothing\n"+
		"ok: bot shop of tenant default, 1 steps\n", succeed(t, &world{}, "validate", dir))
}

func TestSecret_New(t *testing.T) {
	t.Parallel()
	one, two := succeed(t, &world{}, "secret", "new"), succeed(t, &world{}, "secret", "new")
	require.NotEqual(t, one, two)
	for _, text := range []string{one, two} {
		value, err := secret.Parse(text)
		require.NoError(t, err)
		require.True(t, value.IsWhsec())
	}
}

func TestValidate_InternalAddressMustBeListed(t *testing.T) {
	t.Parallel()
	dir := directory(t, map[string]string{"inside.yaml": insideBot})
	w := &world{}
	require.Empty(t, fail(t, w, "validate", dir))
	require.Contains(t, w.out.String(), "inside.yaml:4:33: $.steps.ORDER.webhook.path: blocked: host 10.1.2.3")
	require.Contains(t, w.out.String(), "--egress-allow 10.1.2.3:443", "the line contains what to do")

	const ok = "ok: bot inside of tenant default, 1 steps\n"
	require.Equal(t, ok, succeed(t, &world{}, "validate", dir, "--egress-allow", "10.1.2.3:443"))
	require.Equal(t, ok, succeed(t, &world{}, "validate", dir, "--egress-allow", "192.168.0.0/16,10.0.0.0/8"))
	fromEnv := &world{env: map[string]string{"HOOKTURN_EGRESS_ALLOW": "192.168.0.0/16,10.0.0.0/8"}}
	require.Equal(t, ok, succeed(t, fromEnv, "validate", dir))
	require.Empty(t, fail(t, &world{env: fromEnv.env}, "validate", dir, "--egress-allow", "192.168.0.0/16"), "the flag wins")
}

func TestValidate_InvalidAllowList(t *testing.T) {
	t.Parallel()
	dir := directory(t, map[string]string{"inside.yaml": insideBot})
	said := fail(t, &world{}, "validate", dir, "--egress-allow", "https://10.1.2.3")
	require.Contains(t, said, `check --egress-allow or HOOKTURN_EGRESS_ALLOW: egress: allow entry "https://10.1.2.3"`)
}

func TestValidate_NoBotFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.Equal(t, "starter: no bot files (*.yaml) in "+dir+"\n", fail(t, &world{}, "validate", dir))
	require.Contains(t, fail(t, &world{}, "validate", filepath.Join(dir, "missing")), "no such file or directory")
	require.Contains(t, fail(t, &world{}, "validate"), "accepts 1 arg(s), received 0")
}

func TestValidate_ExamplesAreValid(t *testing.T) {
	t.Parallel()
	out := succeed(t, &world{}, "validate", "../../examples/bots", "--secrets-dir", "../../examples/secrets", "--egress-allow", "127.0.0.1:8090")
	require.Contains(t, out, "ok: bot shop of tenant default")
}
