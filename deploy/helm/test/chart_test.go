// Package test renders the chart with Helm's library, decodes every object strictly into the types of its API, and holds a
// policy against the pods.
package test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const chartDir = "../hookturn"

// scaledObject is KEDA's ScaledObject, as far as the chart uses it (keda.sh/v1alpha1).
type scaledObject struct {
	meta.TypeMeta   `json:",inline"`
	meta.ObjectMeta `json:"metadata"`

	Spec struct {
		ScaleTargetRef struct {
			Name string `json:"name"`
		} `json:"scaleTargetRef"`
		MinReplicaCount int32 `json:"minReplicaCount"`
		MaxReplicaCount int32 `json:"maxReplicaCount"`
		PollingInterval int32 `json:"pollingInterval"`
		CooldownPeriod  int32 `json:"cooldownPeriod"`
		Triggers        []struct {
			Type       string            `json:"type"`
			MetricType string            `json:"metricType"`
			Metadata   map[string]string `json:"metadata"`
		} `json:"triggers"`
	} `json:"spec"`
}

// kinds are the objects that the chart may have.
func kinds() map[string]func() any {
	return map[string]func() any{
		"apps/v1 Deployment":                      func() any { return &apps.Deployment{} },
		"batch/v1 Job":                            func() any { return &batch.Job{} },
		"v1 Service":                              func() any { return &core.Service{} },
		"v1 ServiceAccount":                       func() any { return &core.ServiceAccount{} },
		"v1 ConfigMap":                            func() any { return &core.ConfigMap{} },
		"networking.k8s.io/v1 Ingress":            func() any { return &networking.Ingress{} },
		"networking.k8s.io/v1 NetworkPolicy":      func() any { return &networking.NetworkPolicy{} },
		"policy/v1 PodDisruptionBudget":           func() any { return &policy.PodDisruptionBudget{} },
		"monitoring.coreos.com/v1 ServiceMonitor": func() any { return &monitoring.ServiceMonitor{} },
		"keda.sh/v1alpha1 ScaledObject":           func() any { return &scaledObject{} },
	}
}

// render returns the objects of the chart by kind and name. The error is Helm's, or that of the schema of the values.
func render(t *testing.T, values string) (map[string]any, error) {
	t.Helper()
	chart, err := loader.Load(chartDir)
	require.NoError(t, err)
	given, err := chartutil.ReadValues([]byte(values))
	require.NoError(t, err)
	options := chartutil.ReleaseOptions{Name: "shop", Namespace: "chat", IsInstall: true}
	all, err := chartutil.ToRenderValues(chart, given, options, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(chart, all)
	if err != nil {
		return nil, err
	}
	objects := map[string]any{}
	for name, text := range files {
		if filepath.Ext(name) != ".yaml" {
			continue
		}
		for document := range strings.SplitSeq("\n"+text, "\n---") {
			if strings.TrimSpace(document) == "" {
				continue
			}
			key, object := decode(t, name, document)
			require.NotContains(t, objects, key, "two objects of one name")
			objects[key] = object
		}
	}
	return objects, nil
}

func decode(t *testing.T, file, document string) (key string, object any) {
	t.Helper()
	var head struct {
		meta.TypeMeta `json:",inline"`
		Metadata      struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(document), &head), "%s:\n%s", file, document)
	build, known := kinds()[head.APIVersion+" "+head.Kind]
	require.True(t, known, "%s: unknown object %s %s", file, head.APIVersion, head.Kind)
	object = build()
	require.NoError(t, yaml.UnmarshalStrict([]byte(document), object), "%s:\n%s", file, document)
	require.NotEmpty(t, head.Metadata.Name)
	return head.Kind + "/" + head.Metadata.Name, object
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return string(text)
}

// everything are values that switch everything on; git are those with bot files from Git.
func variants(t *testing.T) map[string]map[string]any {
	t.Helper()
	all := map[string]map[string]any{}
	for name, values := range map[string]string{"defaults": "", "everything": read(t, "everything.yaml"), "git": read(t, "git.yaml")} {
		objects, err := render(t, values)
		require.NoError(t, err, name)
		all[name] = objects
	}
	return all
}

func TestChart_Kinds(t *testing.T) {
	t.Parallel()
	objects := variants(t)
	for key := range objects["everything"] {
		t.Log(key)
	}
	require.Len(t, objects["everything"], len(strings.Fields(`
		Deployment/shop-hookturn-worker Deployment/shop-hookturn-starter Deployment/shop-hookturn-code
		PodDisruptionBudget/worker PodDisruptionBudget/starter PodDisruptionBudget/code
		NetworkPolicy/worker NetworkPolicy/starter NetworkPolicy/code ScaledObject/worker ScaledObject/starter ScaledObject/code
		Service/gateway Service/metrics Service/admin Ingress/gateway ServiceMonitor/hookturn Job/setup ServiceAccount/hookturn ConfigMap/bots`)))
	require.NotContains(t, objects["defaults"], "Deployment/shop-hookturn-code")
	require.NotContains(t, objects["git"], "ConfigMap/shop-hookturn-bots")
}

// TestChart_Policy checks every pod: no root except where scripts run, a read-only root, limits, pinned images.
func TestChart_Policy(t *testing.T) {
	t.Parallel()
	for variant, objects := range variants(t) {
		for key, object := range objects {
			if spec := podOf(object); spec != nil {
				require.Empty(t, violations(key, spec), variant)
			}
		}
	}
}

func podOf(object any) *core.PodSpec {
	switch o := object.(type) {
	case *apps.Deployment:
		return &o.Spec.Template.Spec
	case *batch.Job:
		return &o.Spec.Template.Spec
	}
	return nil
}

// violations returns what a pod has that the policy forbids.
func violations(key string, pod *core.PodSpec) (found []string) {
	runsScripts := strings.HasSuffix(key, "-code")
	complain := func(container, format string, args ...any) {
		found = append(found, fmt.Sprintf("%s, container %s: ", key, container)+fmt.Sprintf(format, args...))
	}
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		complain("*", "has a token of the API server")
	}
	for _, c := range append(append([]core.Container{}, pod.InitContainers...), pod.Containers...) {
		s := c.SecurityContext
		ours := runsScripts && c.Name == "hookturn"
		if ours && (pod.HostUsers == nil || *pod.HostUsers) {
			complain(c.Name, "scripts run in the host's user namespace")
		}
		if s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
			complain(c.Name, "has a writable root")
		}
		if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.Privileged != nil && *s.Privileged {
			complain(c.Name, "may get more privileges")
		}
		if s == nil || s.Capabilities == nil || len(s.Capabilities.Drop) != 1 || s.Capabilities.Drop[0] != "ALL" ||
			len(s.Capabilities.Add) > 0 && !ours || len(s.Capabilities.Add) > 3 {
			complain(c.Name, "has capabilities")
		}
		if !ours && (s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser == 0) {
			complain(c.Name, "runs as root")
		}
		if s == nil || s.SeccompProfile == nil || s.SeccompProfile.Type == core.SeccompProfileTypeUnconfined {
			complain(c.Name, "has no seccomp profile")
		}
		for _, resource := range []core.ResourceName{core.ResourceCPU, core.ResourceMemory} {
			if c.Resources.Limits[resource] == (core.ResourceList{})[resource] {
				complain(c.Name, "has no limit of %s", resource)
			}
		}
		_, tag, tagged := strings.Cut(c.Image[strings.LastIndex(c.Image, "/")+1:], ":")
		if !tagged || tag == "latest" || tag == "" {
			complain(c.Name, "image %s is not pinned", c.Image)
		}
	}
	return found
}

// TestChart_PolicyCanFail removes one member of a good pod at a time.
func TestChart_PolicyCanFail(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*core.PodSpec){
		"root":     func(p *core.PodSpec) { p.Containers[0].SecurityContext.RunAsNonRoot = nil },
		"writable": func(p *core.PodSpec) { p.Containers[0].SecurityContext.ReadOnlyRootFilesystem = nil },
		"limit":    func(p *core.PodSpec) { delete(p.Containers[0].Resources.Limits, core.ResourceMemory) },
		"latest":   func(p *core.PodSpec) { p.Containers[0].Image = "ghcr.io/x/y:latest" },
		"no tag":   func(p *core.PodSpec) { p.Containers[0].Image = "localhost:5000/x/y" },
		"token":    func(p *core.PodSpec) { p.AutomountServiceAccountToken = nil },
		"seccomp":  func(p *core.PodSpec) { p.Containers[0].SecurityContext.SeccompProfile = nil },
	} {
		objects, err := render(t, "")
		require.NoError(t, err)
		pod := podOf(objects["Deployment/shop-hookturn-worker"])
		require.Empty(t, violations("worker", pod))
		spoil(pod)
		require.Len(t, violations("worker", pod), 1, name)
	}
}

// TestChart_References checks that selectors find the pods, that volumes exist, and that a drain is waited for.
func TestChart_References(t *testing.T) {
	t.Parallel()
	objects := variants(t)["everything"]
	for _, component := range []string{"worker", "starter", "code"} {
		name := "shop-hookturn-" + component
		d, ok := objects["Deployment/"+name].(*apps.Deployment)
		require.True(t, ok, name)
		require.Nil(t, d.Spec.Replicas, "KEDA decides")
		labels := d.Spec.Template.Labels
		requireSubset(t, labels, d.Spec.Selector.MatchLabels)
		pdb, _ := objects["PodDisruptionBudget/"+name].(*policy.PodDisruptionBudget)
		requireSubset(t, labels, pdb.Spec.Selector.MatchLabels)
		net, _ := objects["NetworkPolicy/"+name].(*networking.NetworkPolicy)
		requireSubset(t, labels, net.Spec.PodSelector.MatchLabels)
		scaled, _ := objects["ScaledObject/"+name].(*scaledObject)
		require.Equal(t, name, scaled.Spec.ScaleTargetRef.Name)
		require.Len(t, d.Spec.Template.Spec.TopologySpreadConstraints, 2)

		c := d.Spec.Template.Spec.Containers[0]
		require.Greater(t, *d.Spec.Template.Spec.TerminationGracePeriodSeconds, int64(90), "HOOKTURN_STOP_TIMEOUT is 90 s")
		require.NotNil(t, c.LivenessProbe)
		require.NotNil(t, c.ReadinessProbe)
		require.NotNil(t, c.StartupProbe)
		volumes := map[string]bool{}
		for _, v := range d.Spec.Template.Spec.Volumes {
			volumes[v.Name] = true
		}
		for _, m := range c.VolumeMounts {
			require.True(t, volumes[m.Name], "%s mounts %s", name, m.Name)
			delete(volumes, m.Name)
		}
		require.Empty(t, volumes, "%s does not mount them", name)
	}
	ingress, _ := objects["Ingress/shop-hookturn-gateway"].(*networking.Ingress)
	backend := ingress.Spec.Rules[0].HTTP.Paths[0].Backend.Service
	service, _ := objects["Service/"+backend.Name].(*core.Service)
	require.Equal(t, service.Spec.Ports[0].Name, backend.Port.Name)
	starter, _ := objects["Deployment/shop-hookturn-starter"].(*apps.Deployment)
	requireSubset(t, starter.Spec.Template.Labels, service.Spec.Selector)
	monitor, _ := objects["ServiceMonitor/shop-hookturn"].(*monitoring.ServiceMonitor)
	metrics, _ := objects["Service/shop-hookturn-metrics"].(*core.Service)
	requireSubset(t, metrics.Labels, monitor.Spec.Selector.MatchLabels)
	require.Equal(t, metrics.Spec.Ports[0].Name, monitor.Spec.Endpoints[0].Port)
}

func requireSubset(t *testing.T, labels, selector map[string]string) {
	t.Helper()
	require.NotEmpty(t, selector)
	for name, value := range selector {
		require.Equal(t, value, labels[name], name)
	}
}

// TestChart_Environment checks that the chart sets only variables that the programs read.
func TestChart_Environment(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../internal/app/config.go")
	require.NoError(t, err)
	options, err := os.ReadFile("../../../docs/cli.md")
	require.NoError(t, err)
	known := func(variable string) bool { // the variables of sizes are made from the names of their options
		name, size := strings.CutSuffix(strings.TrimPrefix(variable, "HOOKTURN_"), "_MAX_BYTES")
		option := "--" + strings.ReplaceAll(strings.ToLower(name), "_", "-") + "-max-bytes size"
		return size && bytes.Contains(options, []byte(option)) || bytes.Contains(text, []byte(`"`+variable+`"`))
	}
	for _, objects := range variants(t) {
		for key, object := range objects {
			pod := podOf(object)
			if pod == nil {
				continue
			}
			for _, v := range pod.Containers[0].Env {
				if v.Name != "GOMEMLIMIT" && !strings.HasPrefix(v.Name, "OTEL_") {
					require.True(t, known(v.Name), "%s: no program reads %s", key, v.Name)
				}
			}
		}
	}
}

func TestChart_InvalidValues(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ values, want string }{
		"unknown key":        {"wroker: {replicas: 3}", "wroker"},
		"password in values": {"nats: {url: 'nats://u:p@nats:4222'}", "nats"},
		"latest":             {"image: {tag: latest}", "tag"},
		"no memory limit":    {"worker: {resources: {limits: {memory: null}}}", "memory"},
		"bad log level":      {"log: {level: loud}", "level"},
		"ingress, no host":   {"gateway: {ingress: {enabled: true}}", "gateway.ingress.host is missing"},
		"git, no repository": {"bots: {git: {enabled: true}}", "bots.git.repository is missing"},
		"unknown stream":     {"streams: {maxBytes: {reply: 1GiB}}", "reply"},
		"size without unit":  {"streams: {maxBytes: {replies: much}}", "maxBytes"},
		"latest of a part":   {"starter: {tag: latest}", "tag"},
		"bad variable":       {"worker: {env: {PATH: /bin}}", "PATH"},
		"promoted by hand":   {"workerDeployment: {promote: manual}", "promote"},
		"IPv6 among IPv4":    {"networkPolicy: {exceptCIDRs: ['fc00::/7']}", "exceptCIDRs"},
		"IPv4 among IPv6":    {"networkPolicy: {exceptIPv6CIDRs: [10.0.0.0/8]}", "exceptIPv6CIDRs"},
	} {
		_, err := render(t, c.values)
		require.ErrorContains(t, err, c.want, name)
	}
}
