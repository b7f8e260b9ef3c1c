package arch

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

func TestCompose_EveryContainerIsBounded(t *testing.T) {
	t.Parallel()
	for name, service := range loadCompose(t).Services {
		require.NotNil(t, service.Deploy, name)
		limits := service.Deploy.Resources.Limits
		require.NotNil(t, limits, name)
		require.Positive(t, limits.MemoryBytes, name)
		require.Positive(t, limits.NanoCPUs, name)
		require.Positive(t, limits.Pids, name)
	}
}

// TestCompose_MemoryLimitOfGo checks that the collector of Go keeps a program below the limit of its container, and that the
// container for scripts has what its scripts may use: 8 of 512 MiB for each CPU.
func TestCompose_MemoryLimitOfGo(t *testing.T) {
	t.Parallel()
	for name, service := range ours(loadCompose(t)) {
		limits := service.Deploy.Resources.Limits
		if name == "setup" {
			continue
		}
		set := service.Environment["GOMEMLIMIT"]
		require.NotNil(t, set, name)
		var limit int64
		var unit string
		_, err := fmt.Sscanf(*set, "%d%s", &limit, &unit)
		require.NoError(t, err, name)
		limit *= map[string]int64{"MiB": 1 << 20, "GiB": 1 << 30}[unit]
		require.Less(t, limit, int64(limits.MemoryBytes)*19/20, name)
		require.Greater(t, limit, int64(limits.MemoryBytes)*8/10, name)
		if runsScripts(service) {
			require.GreaterOrEqual(t, float32(limits.MemoryBytes), 8*(512<<20)*float32(limits.NanoCPUs))
		}
	}
}

// TestCompose_OptionalDirectories checks that a directory that .env names is mounted where the variable of the program leads,
// and that the program does not get the variable without it.
func TestCompose_OptionalDirectories(t *testing.T) {
	t.Parallel()
	without := loadCompose(t).Services
	with := loadComposeWith(t, "SECRETS_DIR=./examples/secrets", "TOKENS_DIR=./examples", "PAYLOAD_KEYS_DIR=./examples",
		"PACKAGES_DIR=./examples", "CODEC_ORIGIN=https://temporal.example", "CONSOLE_NATS_CONTEXT=./go.mod").Services
	optional := map[string][]string{
		"HOOKTURN_SECRETS_DIR": {"worker", "worker-code", "starter"}, "HOOKTURN_PAYLOAD_KEYS": {"worker", "worker-code", "starter"},
		"HOOKTURN_PACKAGES":     {"worker", "worker-code"},
		"HOOKTURN_EVENT_TOKENS": {"starter"}, "HOOKTURN_OPERATOR_TOKEN_FILE": {"starter"},
		"HOOKTURN_CONSOLE_NATS_CONTEXT": {"starter"},
	}
	for variable, services := range optional {
		for _, name := range services {
			require.Empty(t, *without[name].Environment[variable], "%s of %s", variable, name)
			inside := *with[name].Environment[variable]
			require.True(t, slices.ContainsFunc(with[name].Volumes, func(v types.ServiceVolumeConfig) bool {
				rest, below := strings.CutPrefix(inside, v.Target)
				if !below {
					return false
				}
				_, err := os.Stat(filepath.Join(v.Source, rest))
				return err == nil
			}), "%s of %s: nothing at %s", variable, name, inside)
		}
	}
	require.Equal(t, "https://temporal.example", *with["starter"].Environment["HOOKTURN_CODEC_ORIGIN"])
	require.Equal(t, "0.0.0.0:9092", *with["starter"].Environment["HOOKTURN_CONSOLE_ADDR"])
	require.Empty(t, *without["starter"].Environment["HOOKTURN_CONSOLE_ADDR"])
	require.Equal(t, "9092", publishedPort(with["starter"], 9092))
	require.Empty(t, publishedPort(without["starter"], 9092), "a starter without a console does not need the port of the host")
}

// publishedPort returns the port of the host for a port of a service; "": any free one.
func publishedPort(service types.ServiceConfig, target uint32) string {
	for _, port := range service.Ports {
		if port.Target == target {
			return port.Published
		}
	}
	return "none"
}

// TestCompose_Profiles checks that `make up` starts on hosts without user namespaces.
func TestCompose_Profiles(t *testing.T) {
	t.Parallel()
	services := loadCompose(t).Services
	require.Equal(t, []string{"code"}, services["worker-code"].Profiles)
	require.Equal(t, []string{"monitoring"}, services["prometheus"].Profiles)
	require.Equal(t, []string{"monitoring"}, services["grafana"].Profiles)
	for name, service := range services {
		for dependency := range service.DependsOn {
			require.Subset(t, service.Profiles, services[dependency].Profiles, "%s waits for %s", name, dependency)
		}
	}
	require.Equal(t, "true", *services["temporal-ui"].Environment["TEMPORAL_DISABLE_WRITE_ACTIONS"])
}

func TestCompose_Monitoring(t *testing.T) {
	t.Parallel()
	promtool(t, "check", "config", "prometheus.yml")
	var config struct {
		RuleFiles     []string `yaml:"rule_files"`
		ScrapeConfigs []struct {
			DNS []struct{ Names []string } `yaml:"dns_sd_configs"`
		} `yaml:"scrape_configs"`
	}
	text, err := os.ReadFile(filepath.Join(repoRoot, "deploy", "prometheus", "prometheus.yml"))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &config))
	require.Equal(t, []string{"hookturn.rules.yaml"}, config.RuleFiles)
	services := loadCompose(t).Services
	for _, name := range config.ScrapeConfigs[0].DNS[0].Names {
		require.Contains(t, services, name)
	}
	require.Len(t, config.ScrapeConfigs[0].DNS[0].Names, len(ours(loadCompose(t)))-1, "all but the setup, which ends")

	var providers struct {
		Providers []struct {
			Options struct{ Path string }
		}
	}
	text, err = os.ReadFile(filepath.Join(repoRoot, "deploy", "grafana", "provisioning", "dashboards", "hookturn.yaml"))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &providers))
	mounted := map[string]string{}
	for _, volume := range services["grafana"].Volumes {
		mounted[volume.Target] = volume.Source
	}
	require.FileExists(t, filepath.Join(mounted[providers.Providers[0].Options.Path], "users.json"))
	require.DirExists(t, filepath.Join(mounted["/etc/grafana/provisioning"], "datasources"))
}
