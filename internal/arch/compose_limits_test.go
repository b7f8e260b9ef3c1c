package arch

import (
	"os"
	"path/filepath"
	"testing"

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
