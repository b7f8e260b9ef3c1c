package cli_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	goodBot = `bot: shop
base_urls: {test: "https://shop.example"}
secrets: {orders: {env: SHOP_ORDERS_SECRET}}
steps: {ORDER: {webhook: {path: /orders, secret: orders}}, REFUND: {webhook: {path: /refund}}}
`
	badBot = `bot: shop
colour: red
base_urls: {test: "https://shop.example"}
steps: {ORDER: {webhook: {path: /orders, timeout: soon}}}
`
	insideBot = `bot: inside
base_urls: {test: "https://10.1.2.3"}
steps: {ORDER: {webhook: {path: /orders}}}
`
)

func TestValidateListsGoodBots(t *testing.T) {
	t.Parallel()
	dir := directory(t, map[string]string{"shop.yaml": goodBot, "notes.txt": "no bot file"})
	w := &world{env: map[string]string{"SHOP_ORDERS_SECRET": "hidden"}}
	require.Equal(t, "ok: bot shop of tenant default, 2 steps\n", succeed(t, w, "validate", dir))
	require.Empty(t, w.err.String())
}

func TestValidatePrintsEveryProblem(t *testing.T) {
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

func TestValidateFindsASecretThatIsNotThere(t *testing.T) {
	t.Parallel()
	w := &world{}
	require.Empty(t, fail(t, w, "validate", directory(t, map[string]string{"shop.yaml": goodBot})))
	require.Equal(t, "shop.yaml:3:11: $.secrets.orders: environment variable SHOP_ORDERS_SECRET is not set\n", w.out.String())
}

func TestValidateRefusesAddressesInsideUnlessListed(t *testing.T) {
	t.Parallel()
	dir := directory(t, map[string]string{"inside.yaml": insideBot})
	w := &world{}
	require.Empty(t, fail(t, w, "validate", dir))
	require.Contains(t, w.out.String(), "inside.yaml:3:33: $.steps.ORDER.webhook.path: blocked: host 10.1.2.3")
	require.Contains(t, w.out.String(), "--egress-allow 10.1.2.3:443", "the line says what to do")

	const ok = "ok: bot inside of tenant default, 1 steps\n"
	require.Equal(t, ok, succeed(t, &world{}, "validate", dir, "--egress-allow", "10.1.2.3:443"))
	require.Equal(t, ok, succeed(t, &world{}, "validate", dir, "--egress-allow", "192.168.0.0/16,10.0.0.0/8"))
	fromEnv := &world{env: map[string]string{"HOOKTURN_EGRESS_ALLOW": "192.168.0.0/16,10.0.0.0/8"}}
	require.Equal(t, ok, succeed(t, fromEnv, "validate", dir))
	require.Empty(t, fail(t, &world{env: fromEnv.env}, "validate", dir, "--egress-allow", "192.168.0.0/16"), "the flag wins")
}

func TestValidateRefusesABadList(t *testing.T) {
	t.Parallel()
	dir := directory(t, map[string]string{"inside.yaml": insideBot})
	said := fail(t, &world{}, "validate", dir, "--egress-allow", "https://10.1.2.3")
	require.Contains(t, said, `check --egress-allow or HOOKTURN_EGRESS_ALLOW: egress: allow entry "https://10.1.2.3"`)
}

func TestValidateSaysThatThereIsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.Equal(t, "no bot files (*.yaml) in "+dir+"\n", succeed(t, &world{}, "validate", dir))

	w := &world{}
	require.Empty(t, fail(t, w, "validate", filepath.Join(dir, "missing")))
	require.Contains(t, w.out.String(), "no such file or directory")
	require.Contains(t, fail(t, &world{}, "validate"), "accepts 1 arg(s), received 0")
}

func TestTheExamplesAreValid(t *testing.T) {
	t.Parallel()
	out := succeed(t, &world{}, "validate", "../../examples/bots", "--egress-allow", "127.0.0.1:8090")
	require.Contains(t, out, "ok: bot shop of tenant default")
}
