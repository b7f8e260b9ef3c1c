package test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/resource"

	core "k8s.io/api/core/v1"
)

// variable returns the value of a variable of a pod's first container, "" when it is not set.
func variable(t *testing.T, objects map[string]any, key, name string) string {
	t.Helper()
	pod := podOf(objects[key])
	require.NotNil(t, pod, key)
	for _, v := range pod.Containers[0].Env {
		if v.Name == name {
			return v.Value
		}
	}
	return ""
}

// mounted returns the volume of a directory of a pod's first container, nil when there is none.
func mounted(t *testing.T, objects map[string]any, key, directory string) *core.Volume {
	t.Helper()
	pod := podOf(objects[key])
	require.NotNil(t, pod, key)
	for _, m := range pod.Containers[0].VolumeMounts {
		for _, v := range pod.Volumes {
			if m.MountPath == directory && m.Name == v.Name {
				require.True(t, m.ReadOnly, directory)
				return &v
			}
		}
	}
	return nil
}

// TestChart_Options checks that each optional directory is mounted where its variable leads, and only in the programs that
// read it.
func TestChart_Options(t *testing.T) {
	t.Parallel()
	objects := variants(t)
	for _, component := range []string{"worker", "code", "starter"} {
		key := "Deployment/shop-hookturn-" + component
		keys := variable(t, objects["everything"], key, "HOOKTURN_PAYLOAD_KEYS")
		require.Equal(t, "payload-keys", mounted(t, objects["everything"], key, keys).Secret.SecretName, component)
		packages := variable(t, objects["everything"], key, "HOOKTURN_PACKAGES")
		if component == "starter" {
			require.Empty(t, packages)
			continue
		}
		require.Equal(t, "wheels", mounted(t, objects["everything"], key, packages).PersistentVolumeClaim.ClaimName, component)
	}
	starter, setup := "Deployment/shop-hookturn-starter", "Job/shop-hookturn-setup"
	require.Equal(t, "https://temporal.example.com", variable(t, objects["everything"], starter, "HOOKTURN_CODEC_ORIGIN"))
	require.Equal(t, "11GiB", variable(t, objects["everything"], setup, "HOOKTURN_REPLIES_MAX_BYTES"))
	require.Equal(t, "128MiB", variable(t, objects["everything"], setup, "HOOKTURN_DEAD_LETTERS_MAX_BYTES"))
	context := variable(t, objects["everything"], starter, "HOOKTURN_CONSOLE_NATS_CONTEXT")
	require.Equal(t, "console-nats", mounted(t, objects["everything"], starter, strings.TrimSuffix(context, "/context.json")).Secret.SecretName)
	require.Equal(t, "127.0.0.1:9092", variable(t, objects["everything"], starter, "HOOKTURN_CONSOLE_ADDR"))
	require.Empty(t, variable(t, objects["everything"], "Deployment/shop-hookturn-worker", "HOOKTURN_CONSOLE_ADDR"))
	require.Empty(t, variable(t, objects["defaults"], starter, "HOOKTURN_CONSOLE_ADDR"))
	for name, variables := range objects["defaults"] {
		if podOf(variables) != nil {
			require.Empty(t, variable(t, objects["defaults"], name, "HOOKTURN_PAYLOAD_KEYS"), name)
			require.Empty(t, variable(t, objects["defaults"], name, "HOOKTURN_PACKAGES"), name)
		}
	}
	admin, ok := objects["everything"]["Service/shop-hookturn-admin"].(*core.Service)
	require.True(t, ok)
	requireSubset(t, objects["everything"][starter].(interface{ GetLabels() map[string]string }).GetLabels(), admin.Spec.Selector)
}

// TestChart_MemoryLimitOfGo checks that the collector of Go keeps a program below the limit of its container, and that a
// container for scripts has what its scripts may use: 8 of 512 MiB for each CPU.
func TestChart_MemoryLimitOfGo(t *testing.T) {
	t.Parallel()
	objects, err := render(t, "code: {enabled: true}\nworker: {resources: {limits: {cpu: '2', memory: 1500Mi}}}")
	require.NoError(t, err)
	for _, component := range []string{"worker", "code", "starter"} {
		key := "Deployment/shop-hookturn-" + component
		limits := podOf(objects[key]).Containers[0].Resources.Limits
		set := variable(t, objects, key, "GOMEMLIMIT")
		require.Regexp(t, regexp.MustCompile(`^[0-9]+KiB$`), set, component)
		limit := resource.MustParse(strings.TrimSuffix(set, "B"))
		require.Less(t, limit.Value(), limits.Memory().Value()*19/20, component)
		require.Greater(t, limit.Value(), limits.Memory().Value()*17/20, component)
		if component == "code" {
			require.GreaterOrEqual(t, limits.Memory().Value(), 8*(512<<20)*limits.Cpu().Value())
		}
	}
}

// TestChart_Tags checks that an upgrade can leave the starters behind: workers are replaced first.
func TestChart_Tags(t *testing.T) {
	t.Parallel()
	objects, err := render(t, "image: {tag: v2.0.0}\nstarter: {tag: v1.0.0}\ncode: {enabled: true}")
	require.NoError(t, err)
	for key, tag := range map[string]string{
		"Deployment/shop-hookturn-worker": ":v2.0.0", "Deployment/shop-hookturn-code": "-code:v2.0.0",
		"Deployment/shop-hookturn-starter": ":v1.0.0", "Job/shop-hookturn-setup": ":v2.0.0",
	} {
		require.True(t, strings.HasSuffix(podOf(objects[key]).Containers[0].Image, tag), "%s: %s", key, podOf(objects[key]).Containers[0].Image)
	}
}
