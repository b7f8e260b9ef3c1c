package arch

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

// TestRelease_Platforms checks that a release has both programs for every platform, with their identity and list of modules.
// `make release-check` checks the file with goreleaser itself.
func TestRelease_Platforms(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(repoRoot, ".goreleaser.yaml"))
	require.NoError(t, err)
	var release struct {
		Builds []struct {
			Binary       string
			Env          []string
			Goos, Goarch []string
			Ldflags      []string
		}
		Sboms    []struct{ Artifacts string }
		Checksum struct{ Algorithm string }
	}
	require.NoError(t, yaml.Unmarshal(text, &release))
	var programs []string
	for _, b := range release.Builds {
		programs = append(programs, b.Binary)
		require.ElementsMatch(t, []string{"linux", "darwin"}, b.Goos)
		require.ElementsMatch(t, []string{"amd64", "arm64"}, b.Goarch)
		require.Contains(t, b.Env, "CGO_ENABLED=0", "the address guard relies on Go's own resolver")
		for _, name := range []string{"version", "revision", "date"} {
			require.Contains(t, strings.Join(b.Ldflags, " "), module+"/internal/app."+name+"=", b.Binary)
		}
	}
	require.ElementsMatch(t, []string{"worker", "starter"}, programs)
	require.Equal(t, "binary", release.Sboms[0].Artifacts)
	require.Equal(t, "sha256", release.Checksum.Algorithm)
}

// TestChecks_LookForVulnerabilities checks that a run of all checks looks for known vulnerabilities in both modules.
func TestChecks_LookForVulnerabilities(t *testing.T) {
	t.Parallel()
	checks, err := os.ReadFile(filepath.Join(repoRoot, ".ci", "run"))
	require.NoError(t, err)
	require.Regexp(t, `(?m)^step \S+ \.ci/vulnerabilities$`, string(checks))
	script, err := os.ReadFile(filepath.Join(repoRoot, ".ci", "vulnerabilities"))
	require.NoError(t, err)
	require.Regexp(t, `(?m)^\s+\(cd "\$1" && "\$govulncheck" -db "\$database" \./\.\.\.\) \|\| status=\$\?$`, string(script))
	for _, directory := range []string{".", "devstack"} {
		require.Regexp(t, `(?m)^check `+regexp.QuoteMeta(directory)+`$`, string(script))
	}
}

// TestRelease_LicenseTexts checks that the script of the image finds a license text for every module of the programs.
func TestRelease_LicenseTexts(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	run := exec.CommandContext(t.Context(), filepath.Join(repoRoot, "tools", "licenses.sh"), out)
	said, err := run.CombinedOutput()
	require.NoError(t, err, string(said))
	for _, name := range []string{module, "go", "github.com/nats-io/nats.go", "go.temporal.io/sdk"} {
		entries, err := os.ReadDir(filepath.Join(out, name))
		require.NoError(t, err, name)
		require.NotEmpty(t, entries, name)
	}
}

// TestDockerfile_Images checks what the build cannot: users, labels, license texts, and no architecture of its own.
func TestDockerfile_Images(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(repoRoot, "deploy", "Dockerfile"))
	require.NoError(t, err)
	stages := strings.Split(string(text), "\nFROM ")[1:]
	require.Len(t, stages, 3)
	build, code, main := stages[0], stages[1], stages[2]
	require.Contains(t, build, "--platform=$BUILDPLATFORM")
	require.Contains(t, build, "GOARCH=$TARGETARCH")
	require.Contains(t, main, "\nUSER 10001:10001\n")
	require.NotContains(t, code, "\nUSER ", "each script has a user of its own, which takes root")
	for _, stage := range []string{code, main} {
		require.Contains(t, stage, "COPY --from=build /licenses ")
		for _, label := range []string{"title", "source", "licenses", "version", "revision", "created"} {
			require.Contains(t, stage, "org.opencontainers.image."+label+"=")
		}
	}
}
