package cli_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/cli"
)

// TestNames_Misspelt checks that the error about an unknown name ends with the known one that was probably meant.
func TestNames_Misspelt(t *testing.T) {
	t.Parallel()
	bots := []string{"--bots", "../../examples/bots", "--egress-allow", "127.0.0.1:8090"}
	for name, c := range map[string]struct {
		args   []string
		status int
		want   string
	}{
		"command":    {[]string{"tial"}, 2, `unknown command "tial" for "starter": did you mean tail?`},
		"subcommand": {[]string{"deadletters", "lst"}, 2, `unknown command "lst" for "starter deadletters": did you mean list?`},
		"other":      {[]string{"frob"}, 2, `unknown command "frob" for "starter"`},
		"flag":       {[]string{"tail", "--conversaton", "c"}, 2, "unknown flag: --conversaton: did you mean --conversation?"},
		"other flag": {[]string{"tail", "--frob"}, 2, "unknown flag: --frob"},
		"short flag": {[]string{"tail", "-x"}, 2, "unknown shorthand flag: 'x' in -x"},
		"dialect": {[]string{"check", "http://shop.example", "--dialect", "hpatik"}, 2,
			`invalid --dialect "hpatik": expected one of haptik, loyjoy, plain, twoway: did you mean haptik?`},
		"scheme": {[]string{"check", "http://shop.example", "--scheme", "standard,hubsha1"}, 2,
			`invalid --scheme "hubsha1": expected one of hub-sha1, hub-sha256, standard: did you mean hub-sha1?`},
		"error code": {[]string{"deadletters", "list", "--reason", "unknown_bto"}, 2, ": did you mean unknown_bot?"},
		"outcome":    {[]string{"conversations", "list", "--outcome", "succes"}, 2, ": did you mean success?"},
		"action":     {[]string{"audit", "--action", "ersae"}, 2, ": did you mean erase?"},
		"bot":        {append([]string{"bots", "show", "hlepdesk"}, bots...), 3, "in ../../examples/bots: did you mean helpdesk?"},
		"paused bot": {[]string{
			"bots", "pause", "shpo", "--bots", "testdata/bots", "--yes", "--connect-timeout", "100ms", "--nats-url", "nats://127.0.0.1:1",
		}, 5,
			": did you mean shop? Otherwise: name the directory of the bot files with --bots, or add --unknown to skip the check"},
		"endpoint": {[]string{"endpoints", "pause", "https://shop.example/order", "--bot", "shop", "--bots", "testdata/bots", "--yes"}, 3,
			`: did you mean https://shop.example/orders? Otherwise: "starter bots show" prints its endpoints; --unknown allows others`},
		"step": {append([]string{"run-script", "../../examples/bots/verify_otp.py", "--bot", "assistant", "--step", "VERIFY_OPT"}, bots...), 3,
			"unknown_step: bot assistant does not have a step \"VERIFY_OPT\": did you mean VERIFY_OTP?"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &world{}
			require.Equal(t, c.status, w.run(testContext(t), cli.StarterCommand(), c.args...), &w.err)
			require.Contains(t, w.err.String(), c.want+"\n")
		})
	}
	w := &world{}
	w.run(testContext(t), cli.StarterCommand(), "tail", "--conversaton", "c", "--output", "json")
	require.JSONEq(t, `{"error":{"kind":"usage","message":"unknown flag: --conversaton","hint":"did you mean --conversation?"}}`,
		w.out.String())
}
