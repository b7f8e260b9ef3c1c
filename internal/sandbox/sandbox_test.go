package sandbox

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/leaktest"
	"github.com/hookturn/hookturn/schemas"
)

func TestMain(m *testing.M) { leaktest.VerifyTestMain(m) }

// unhurried is a time that passes only when something is broken, on a machine that does other work, too.
const unhurried = 10 * time.Minute

func newSandbox(t testing.TB, change ...func(*Options)) *Sandbox {
	t.Helper()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	o := Options{Cgroup: "off", Log: log, wait: unhurried}
	for _, c := range change {
		c(&o)
	}
	s, err := New(context.Background(), o)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

func job(script string) Job {
	return Job{
		BotID: schemas.BotID{Tenant: "acme", Bot: "shop"}, Step: "ORDER", EventID: "e1", Script: script, Body: `{"a":1}`, Timeout: unhurried,
	}
}

func TestRun_Value(t *testing.T) {
	s := newSandbox(t)
	r, f := s.Run(t.Context(), job(`
import json, logging
log = logging.getLogger()
log.setLevel(logging.INFO)

def main(event, context):
    body = json.loads(event["body"])
    print("hello", body)
    log.info("left %s", context.get_remaining_time_in_millis() > 5000)
    return {"statusCode": 200, "headers": {}, "body": json.dumps({"a": body["a"] + 1, "f": context.function_name, "id": context.aws_request_id})}
`))
	require.Nil(t, f, r.Log)
	require.JSONEq(t, `{"statusCode":200,"headers":{},"body":"{\"a\": 2, \"f\": \"ORDER\", \"id\": \"e1\"}"}`, string(r.Value))
	require.Equal(t, "hello {'a': 1}\n[INFO] left True\n", r.Log)
}
