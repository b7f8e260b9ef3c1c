package test

import (
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
)

// secretOf returns the name of the Secret that is mounted at the directory to which a variable leads.
func secretOf(t *testing.T, objects map[string]any, key, name string) string {
	t.Helper()
	file := variable(t, objects, key, name)
	volume := mounted(t, objects, key, file[:max(strings.LastIndex(file, "/"), 0)])
	require.NotNil(t, volume, "%s: %s is %q", key, name, file)
	return volume.Secret.SecretName
}

// TestChart_Certificates checks that each program, the setup included, gets the files of TLS that are set, and no others.
func TestChart_Certificates(t *testing.T) {
	t.Parallel()
	both, err := render(t, "code: {enabled: true}\nnats: {tls: {secret: nats-tls, clientCertificate: true}}\n"+
		"temporal: {tls: {enabled: true, secret: temporal-tls, privateCA: true}}\ngateway: {tlsSecret: gateway-tls}")
	require.NoError(t, err)
	authorities, err := render(t, "code: {enabled: true}\nnats: {tls: {secret: nats-tls}}\n"+
		"temporal: {tls: {enabled: true, secret: temporal-tls, privateCA: true, clientCertificate: false}}")
	require.NoError(t, err)
	system, err := render(t, "code: {enabled: true}\n"+
		"nats: {tls: {secret: nats-tls, privateCA: false, clientCertificate: true}}")
	require.NoError(t, err)
	clients := []string{
		"HOOKTURN_NATS_CERT", "HOOKTURN_NATS_KEY", "TEMPORAL_TLS_CLIENT_CERT_PATH", "TEMPORAL_TLS_CLIENT_KEY_PATH",
	}
	for _, key := range []string{
		"Deployment/shop-hookturn-worker", "Deployment/shop-hookturn-code", "Deployment/shop-hookturn-starter",
		"Job/shop-hookturn-setup",
	} {
		for _, objects := range []map[string]any{both, authorities} {
			require.Equal(t, "nats-tls", secretOf(t, objects, key, "HOOKTURN_NATS_CA"))
			require.Equal(t, "temporal-tls", secretOf(t, objects, key, "TEMPORAL_TLS_SERVER_CA_CERT_PATH"))
		}
		for i, name := range clients {
			require.Equal(t, []string{"nats-tls", "nats-tls", "temporal-tls", "temporal-tls"}[i], secretOf(t, both, key, name))
			require.Empty(t, variable(t, authorities, key, name), "%s: %s", key, name)
		}
		require.Equal(t, "nats-tls", secretOf(t, system, key, "HOOKTURN_NATS_CERT"))
		require.Empty(t, variable(t, system, key, "HOOKTURN_NATS_CA"), key)
		if strings.HasSuffix(key, "-starter") {
			require.Equal(t, "gateway-tls", secretOf(t, both, key, "HOOKTURN_GATEWAY_CERT"))
			require.Equal(t, "gateway-tls", secretOf(t, both, key, "HOOKTURN_GATEWAY_KEY"))
		} else {
			require.Empty(t, variable(t, both, key, "HOOKTURN_GATEWAY_CERT"), key)
		}
		require.Empty(t, variable(t, authorities, key, "HOOKTURN_GATEWAY_CERT"), key)
	}
	service, ok := both["Service/shop-hookturn-gateway"].(*core.Service)
	require.True(t, ok)
	require.Equal(t, "https", *service.Spec.Ports[0].AppProtocol)
}

// TestChart_SizesStay checks that an upgrade leaves the partitions and the size of the event stream as they are unless they
// are set: the setup applies what it is given to streams that exist.
func TestChart_SizesStay(t *testing.T) {
	t.Parallel()
	objects := variants(t)
	for key := range objects["defaults"] {
		if podOf(objects["defaults"][key]) == nil {
			continue
		}
		require.Empty(t, variable(t, objects["defaults"], key, "HOOKTURN_PARTITIONS"), key)
		require.Empty(t, variable(t, objects["defaults"], key, "HOOKTURN_EVENTS_MAX_BYTES"), key)
		require.Equal(t, "16", variable(t, objects["everything"], key, "HOOKTURN_PARTITIONS"), key)
		require.Equal(t, "2147483648", variable(t, objects["everything"], key, "HOOKTURN_EVENTS_MAX_BYTES"), key)
	}
}

// TestChart_PromotedByHand checks that the workers of a release of its own can wait for their promotion.
func TestChart_PromotedByHand(t *testing.T) {
	t.Parallel()
	objects, err := render(t, "worker: {env: {HOOKTURN_DEPLOYMENT_PROMOTE: manual}}")
	require.NoError(t, err)
	var values []string
	for _, v := range podOf(objects["Deployment/shop-hookturn-worker"]).Containers[0].Env {
		if v.Name == "HOOKTURN_DEPLOYMENT_PROMOTE" {
			values = append(values, v.Value)
		}
	}
	require.Equal(t, []string{"manual"}, values)
}

// TestChart_WebhooksPass checks that the network policies admit the ports that the programs allow, to public addresses of
// both families only.
func TestChart_WebhooksPass(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../internal/egress/options.go")
	require.NoError(t, err)
	allowed := regexp.MustCompile(`o\.Ports = \[\]uint16\{(.*)\}`).FindSubmatch(text)
	require.NotNil(t, allowed)
	objects, err := render(t, "code: {enabled: true}")
	require.NoError(t, err)
	for _, component := range []string{"worker", "code"} {
		net, ok := objects["NetworkPolicy/shop-hookturn-"+component].(*networking.NetworkPolicy)
		require.True(t, ok)
		rule := net.Spec.Egress[len(net.Spec.Egress)-1]
		var ports []string
		for _, p := range rule.Ports {
			ports = append(ports, fmt.Sprint(p.Port.IntValue()))
		}
		require.ElementsMatch(t, strings.Split(string(allowed[1]), ", "), ports)
		for address, want := range map[string]bool{
			"8.8.8.8": true, "10.1.2.3": false, "172.16.0.1": false, "192.168.0.1": false, "169.254.169.254": false,
			"2606:4700:4700::1111": true, "fd00:ec2::254": false, "fc00::1": false, "fe80::1": false,
		} {
			require.Equal(t, want, admits(rule.To, netip.MustParseAddr(address)), address)
		}
	}
}

// admits reports whether a rule admits an address.
func admits(peers []networking.NetworkPolicyPeer, address netip.Addr) bool {
	for _, peer := range peers {
		admitted := netip.MustParsePrefix(peer.IPBlock.CIDR).Contains(address)
		for _, except := range peer.IPBlock.Except {
			admitted = admitted && !netip.MustParsePrefix(except).Contains(address)
		}
		if admitted {
			return true
		}
	}
	return false
}
