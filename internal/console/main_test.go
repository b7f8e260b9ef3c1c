package console_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/hookturn/hookturn/internal/cli"
	"github.com/hookturn/hookturn/internal/console"
	"github.com/hookturn/hookturn/internal/natstest"
)

func TestMain(m *testing.M) {
	console.RunTool = runTool
	natstest.VerifyTestMain(m)
}

func runTool(ctx context.Context, env map[string]string, args ...string) (status int, printed string) {
	var out, failed bytes.Buffer
	status = cli.RunContext(ctx, cli.StarterCommand(), cli.IO{
		Args: args, In: strings.NewReader(""), Out: &out, Err: &failed,
		LookupEnv: func(name string) (string, bool) {
			value, ok := env[name]
			return value, ok
		},
	})
	if status != 0 {
		return status, out.String() + failed.String()
	}
	return status, out.String()
}
