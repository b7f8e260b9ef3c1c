package arch

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/permissions"
)

const (
	completed = "service_completed_successfully"
	localTag  = ":local" // of the images that the file itself builds
)

// pinned is an image with a full version, not a moving tag.
var pinned = regexp.MustCompile(`:v?\d+\.\d+(\.\d+)?(-[a-z0-9.]+)?$`)

// loadCompose reads docker-compose.yml as docker compose does, with the passwords that `make up` would have written.
func loadCompose(t *testing.T) *types.Project {
	t.Helper()
	return loadComposeWith(t)
}

// loadComposeWith reads it with variables that an operator has added to .env.
func loadComposeWith(t *testing.T, variables ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions(
		[]string{filepath.Join(repoRoot, "docker-compose.yml")},
		cli.WithWorkingDirectory(repoRoot),
		cli.WithEnv(append(passwords(), variables...)),
		cli.WithProfiles([]string{"*"}),
	)
	require.NoError(t, err)
	project, err := options.LoadProject(t.Context())
	require.NoError(t, err)
	return project
}

// passwords stand for what make up writes to .env.
func passwords() []string {
	all := []string{"POSTGRES_PASSWORD=p", "GRAFANA_PASSWORD=g"}
	for _, user := range natsUsers() {
		all = append(all, passwordVariable(user)+"=password-of-"+user)
	}
	return all
}

// TestCompose_EachServiceHasItsUser checks that a service connects to NATS as one user and has the answers of no other.
func TestCompose_EachServiceHasItsUser(t *testing.T) {
	t.Parallel()
	project := loadCompose(t)
	for service, user := range map[string]string{
		"setup": permissions.Setup, "starter": permissions.Starter, "worker": permissions.Worker, "worker-code": permissions.Code,
	} {
		environment := project.Services[service].Environment
		require.Equal(t, "nats://"+user+":password-of-"+user+"@nats:4222", *environment["HOOKTURN_NATS_URL"], service)
		require.Equal(t, permissions.InboxPrefix(user), *environment["HOOKTURN_NATS_INBOX_PREFIX"], service)
		of, _ := permissions.UserOf(user)
		domain := ""
		if set := environment["HOOKTURN_NATS_DOMAIN"]; set != nil {
			domain = *set
		}
		require.Equal(t, of.Domain(), domain, service)
	}
	makefile, err := os.ReadFile(filepath.Join(repoRoot, "Makefile"))
	require.NoError(t, err)
	for _, password := range passwords() {
		name, _, _ := strings.Cut(password, "=")
		require.Contains(t, string(makefile), name, "make up writes no password %s", name)
	}
}

// oneShots returns the services that end by themselves: other services wait for their success.
func oneShots(project *types.Project) []string {
	var names []string
	for _, service := range project.Services {
		for dependency, how := range service.DependsOn {
			if how.Condition == completed {
				names = append(names, dependency)
			}
		}
	}
	return names
}

// ours are the services that run this repository's binaries.
func ours(project *types.Project) types.Services {
	services := types.Services{}
	for name, service := range project.Services {
		if service.Build != nil {
			services[name] = service
		}
	}
	return services
}

func TestCompose_Services(t *testing.T) {
	t.Parallel()
	project := loadCompose(t)
	names := slices.Collect(maps.Keys(project.Services))
	require.Subset(t, names, []string{"nats", "postgres", "starter", "temporal", "temporal-ui", "worker"})
	require.NotNil(t, project.Services["worker"].Deploy.Replicas)
	require.GreaterOrEqual(t, *project.Services["worker"].Deploy.Replicas, 2, "one worker is one that may die")
}

func TestCompose_PinnedImages(t *testing.T) {
	t.Parallel()
	for name, service := range loadCompose(t).Services {
		if service.Build != nil {
			require.True(t, strings.HasSuffix(service.Image, localTag), "%s: %s is built here", name, service.Image)
			continue
		}
		require.Regexp(t, pinned, service.Image, name)
	}
	text, err := os.ReadFile(filepath.Join(repoRoot, "deploy", "Dockerfile"))
	require.NoError(t, err)
	bases := regexp.MustCompile(`(?m)^FROM (\S+:\S+)`).FindAllStringSubmatch(string(text), -1)
	require.NotEmpty(t, bases)
	for _, base := range bases {
		require.Regexp(t, `:[a-z]*-?\d{1,}[0-9.]*(-[a-z0-9]+)*$`, base[1], "the base image must have a version")
		require.NotContains(t, base[1], "latest")
	}
}

func TestCompose_RestartsAndHealthChecks(t *testing.T) {
	t.Parallel()
	project := loadCompose(t)
	once := oneShots(project)
	for name, service := range project.Services {
		if slices.Contains(once, name) {
			require.Regexp(t, `^on-failure:\d+$`, service.Restart, "%s ends by itself: bound its retries", name)
			continue
		}
		require.Equal(t, types.RestartPolicyUnlessStopped, service.Restart, name)
		require.NotNil(t, service.HealthCheck, "%s has no health check", name)
		require.False(t, service.HealthCheck.Disable, "%s has no health check", name)
	}
}

func TestCompose_KeepsData(t *testing.T) {
	t.Parallel()
	project := loadCompose(t)
	used := map[string]bool{}
	for _, service := range project.Services {
		for _, volume := range service.Volumes {
			if volume.Type == types.VolumeTypeVolume {
				require.NotEmpty(t, volume.Source, "an anonymous volume is lost with its container")
				used[volume.Source] = true
			}
		}
	}
	for name := range project.Volumes {
		require.True(t, used[name], "no service uses the volume %s", name)
	}
	require.True(t, used["postgres"] && used["nats"], "the servers' data lives in named volumes")
}

func TestCompose_FilesExist(t *testing.T) {
	t.Parallel()
	for name, service := range loadCompose(t).Services {
		for _, volume := range service.Volumes {
			if volume.Type == types.VolumeTypeBind {
				require.FileExists(t, existing(volume.Source), "%s mounts %s", name, volume.Source)
				require.True(t, volume.ReadOnly, "%s mounts %s writable", name, volume.Source)
			}
		}
		if service.Build != nil {
			require.FileExists(t, filepath.Join(service.Build.Context, service.Build.Dockerfile), name)
		}
	}
}

// existing returns an existing file for a path: the path itself, or the first entry of the directory.
func existing(path string) string {
	entries, err := os.ReadDir(path)
	if err != nil || len(entries) == 0 {
		return path
	}
	return existing(filepath.Join(path, entries[0].Name()))
}

func TestCompose_PortsAreLocal(t *testing.T) {
	t.Parallel()
	project := loadCompose(t)
	for name, service := range project.Services {
		for _, port := range service.Ports {
			require.Equal(t, "127.0.0.1", port.HostIP, "%s publishes port %s to the world", name, port.Published)
		}
		require.False(t, service.Privileged, name)
	}
	require.True(t, project.Networks["data"].Internal)
	require.Equal(t, []string{"data"}, slices.Collect(maps.Keys(project.Services["postgres"].Networks)))
	for name, service := range ours(project) {
		require.Contains(t, service.CapDrop, "ALL", name)
		require.True(t, service.ReadOnly, name)
		require.NotContains(t, service.Networks, "data", "%s has no business with the database", name)
	}
}

func TestCompose_GoodBotFiles(t *testing.T) {
	t.Parallel()
	for name, service := range ours(loadCompose(t)) {
		mounted := service.Environment["HOOKTURN_BOTS"]
		require.NotNil(t, mounted, "%s does not set the directory of the bot files", name)
		at := slices.IndexFunc(service.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == *mounted })
		require.GreaterOrEqual(t, at, 0, "%s has no volume at %s", name, *mounted)
		_, err := bot.Load(service.Volumes[at].Source, bot.Options{Dialects: dialects.Specs()})
		require.NoError(t, err, "%s would not start with these bot files", name)
	}
}
