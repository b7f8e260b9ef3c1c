package app

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

func TestConfig_UnsetMembersHaveDefaults(t *testing.T) {
	t.Parallel()
	c := Config{}.withDefaults()
	require.NotNil(t, c.Log)
	require.NotNil(t, c.Metrics)
	c.Log, c.Metrics = nil, nil
	require.Equal(t, Config{
		NATSURL:    "nats://127.0.0.1:4222",
		Temporal:   client.Options{HostPort: "localhost:7233", Namespace: "default"},
		TaskQueues: []string{"hookturn"}, MaxInFlight: 512, EventMemory: 128 << 20,
		StopTimeout: 30 * time.Second, BadBots: BadBotsHold,
	}, c)
}

func TestConfig_DefaultsLeaveWhatIsSet(t *testing.T) {
	t.Parallel()
	c := Config{
		BadBots: BadBotsRefuse, NATSURL: "nats://n:1", Temporal: client.Options{HostPort: "t:1", Namespace: "prod"}, TaskQueues: []string{step.QueueCode},
		Partitions: 3, Sizes: map[string]int64{"events": 5}, Replicas: 2, MaxInFlight: 7, EventMemory: 9 << 20, StopTimeout: time.Second, AdminAddr: ":1", Gateway: Gateway{Addr: ":2"},
	}
	filled := c.withDefaults()
	filled.Log, filled.Metrics = nil, nil
	require.Equal(t, c, filled)
}

func TestConfig_AllProblemsReported(t *testing.T) {
	t.Parallel()
	require.NoError(t, Config{Bots: "bots"}.withDefaults().validate())
	for name, c := range map[string]struct {
		change func(*Config)
		want   []string
	}{
		"no bots":           {func(c *Config) { c.Bots = "" }, []string{"missing directory of bot files: set --bots or HOOKTURN_BOTS"}},
		"unknown queue":     {func(c *Config) { c.TaskQueues = []string{"x"} }, []string{"unknown task queue x: use hookturn or hookturn-code"}},
		"no partitions":     {func(c *Config) { c.Partitions = -1 }, []string{"partitions are -1: use 1 to 256"}},
		"many partitions":   {func(c *Config) { c.Partitions = 257 }, []string{"partitions are 257: use 1 to 256"}},
		"many replicas":     {func(c *Config) { c.Replicas = 6 }, []string{"replicas are 6: use 1 to 5"}},
		"negative size":     {func(c *Config) { c.Sizes = map[string]int64{"events": 5} }, []string{"size of events is 5 bytes"}},
		"nothing in hand":   {func(c *Config) { c.MaxInFlight = -1 }, []string{"max in flight is -1"}},
		"too little memory": {func(c *Config) { c.EventMemory = 1 << 20 }, []string{"event memory is 1048576 bytes"}},
		"no time to stop":   {func(c *Config) { c.StopTimeout = -time.Second }, []string{"stop timeout is -1s"}},
		"several mistakes":  {func(c *Config) { c.Bots, c.Replicas = "", 9 }, []string{"missing directory of bot files", "replicas are 9"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := Config{Bots: "bots"}
			c.change(&cfg)
			cfg = cfg.withDefaults()
			err := cfg.validate()
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
			require.Len(t, strings.Split(err.Error(), "\n"), len(c.want))

			_, err = StartWorker(t.Context(), cfg)
			require.ErrorContains(t, err, c.want[0])
			_, err = StartStarter(t.Context(), cfg)
			require.ErrorContains(t, err, c.want[0])
		})
	}
	require.ErrorContains(t, Setup(t.Context(), Config{Partitions: 1000}, schemas.AuditActor{}), "partitions are 1000")
}

func TestConfig_VariablesAreListedOnceInOrder(t *testing.T) {
	t.Parallel()
	names := EnvironmentVariables()
	require.True(t, slices.IsSorted(names))
	require.Len(t, slices.Compact(slices.Clone(names)), len(names))
	for _, name := range names {
		require.Regexp(t, `^(HOOKTURN|NATS|OTEL|TEMPORAL)_[A-Z_]+$`, name)
	}
}

// TestConfig_TemporalsVariablesAreRead shows that the variables which the documentation names are the ones that Temporal reads.
func TestConfig_TemporalsVariablesAreRead(t *testing.T) {
	t.Setenv("TEMPORAL_CONFIG_FILE", t.TempDir()+"/none.toml")
	for name, value := range map[string]string{
		"TEMPORAL_ADDRESS": "temporal.example:7233", "TEMPORAL_NAMESPACE": "prod", "TEMPORAL_API_KEY": "a-key",
		"TEMPORAL_TLS": "true", "TEMPORAL_TLS_SERVER_NAME": "inner.example",
	} {
		require.Contains(t, EnvironmentVariables(), name)
		t.Setenv(name, value)
	}
	o, err := TemporalFromEnvironment()
	require.NoError(t, err)
	require.Equal(t, "temporal.example:7233", o.HostPort)
	require.Equal(t, "prod", o.Namespace)
	require.NotNil(t, o.Credentials)
	require.NotNil(t, o.ConnectionOptions.TLS)
	require.Equal(t, "inner.example", o.ConnectionOptions.TLS.ServerName)
}
