package servers

import (
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/primitives"
)

// clusterName is Temporal's name of a single cluster.
const clusterName = "active"

// layout holds the addresses of the four services of one server. The services use this table instead of a membership ring,
// which a single process does not need.
type layout map[primitives.ServiceName]address

func newLayout(frontend address) layout {
	return layout{
		primitives.FrontendService: frontend,
		primitives.HistoryService:  freeAddress(),
		primitives.MatchingService: freeAddress(),
		primitives.WorkerService:   freeAddress(),
	}
}

func (l layout) hosts() map[primitives.ServiceName]static.Hosts {
	hosts := map[primitives.ServiceName]static.Hosts{}
	for name, addr := range l {
		hosts[name] = static.SingleLocalHost(addr.String())
	}
	return hosts
}

func (l layout) services() map[string]config.Service {
	services := map[string]config.Service{}
	for name, addr := range l {
		services[string(name)] = config.Service{RPC: config.RPC{GRPCPort: addr.Port, BindOnIP: addr.IP}}
	}
	return services
}

// The names of the data stores.
const (
	mainStore       = "main"
	visibilityStore = "visibility"
)

// serverConfig is a server without metrics and profiling ports.
func serverConfig(l layout, db database, m *MutualTLS) *config.Config {
	frontend := l[primitives.FrontendService].String()
	return &config.Config{
		Global:       config.Global{TLS: tlsConfig(m)},
		Services:     l.services(),
		PublicClient: config.PublicClient{HostPort: frontend},
		Persistence: config.Persistence{
			DefaultStore:     mainStore,
			VisibilityStore:  visibilityStore,
			NumHistoryShards: db.shards,
			DataStores: map[string]config.DataStore{
				mainStore: {SQL: db.main}, visibilityStore: {SQL: db.visibility},
			},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: frontend},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Archival: config.Archival{
			History:    config.HistoryArchival{State: config.ArchivalDisabled},
			Visibility: config.VisibilityArchival{State: config.ArchivalDisabled},
		},
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History:    config.HistoryArchivalNamespaceDefaults{State: config.ArchivalDisabled},
			Visibility: config.VisibilityArchivalNamespaceDefaults{State: config.ArchivalDisabled},
		}},
	}
}

// tlsConfig is the TLS of the frontend, for clients and for the server's own workers. The other services listen on loopback.
func tlsConfig(m *MutualTLS) config.RootTLS {
	if m == nil {
		return config.RootTLS{}
	}
	client := config.ClientTLS{ServerName: m.Name, RootCAFiles: []string{m.CA}}
	return config.RootTLS{
		Frontend: config.GroupTLS{
			Client: client,
			Server: config.ServerTLS{CertFile: m.Cert, KeyFile: m.Key, ClientCAFiles: []string{m.CA}, RequireClientAuth: true},
		},
		SystemWorker: config.WorkerTLS{CertFile: m.Cert, KeyFile: m.Key, Client: client},
	}
}

// Bounds that one process with one shard cannot reach. Zero would mean "none allowed" for some of the settings.
const (
	pollsPerSecond    = 5_000
	requestsPerSecond = 100_000
)

// tuning returns the settings for a fast single node. By default each history shard reads its task queues at most twenty
// times a second, which adds up to 50 ms to every dispatch, and the request limits are those of a shared cluster.
func tuning() map[string]any {
	return map[string]any{
		"history.transferProcessorMaxPollRPS":   pollsPerSecond,
		"history.timerProcessorMaxPollRPS":      pollsPerSecond,
		"history.visibilityProcessorMaxPollRPS": pollsPerSecond,
		"history.outboundProcessorMaxPollRPS":   pollsPerSecond,
		// Timers fire when they are due and not up to this much later: the shift is for hosts whose clocks differ.
		"history.timerProcessorMaxTimeShift": "20ms",
		// The polls of a worker that is stopped are taken for polls, and for tasks, until its connection is known to be dead.
		"frontend.keepAliveTime":    "5s",
		"frontend.keepAliveTimeout": "5s",
		// One partition: no forwarding between partitions, and priorities are exact.
		"matching.numTaskqueueReadPartitions":  1,
		"matching.numTaskqueueWritePartitions": 1,

		"frontend.rps":                     requestsPerSecond,
		"frontend.namespaceRPS":            requestsPerSecond,
		"frontend.namespaceRPS.visibility": requestsPerSecond,
		"frontend.namespaceCount":          requestsPerSecond,
		"frontend.persistenceMaxQPS":       requestsPerSecond,
		"history.rps":                      requestsPerSecond,
		"history.persistenceMaxQPS":        requestsPerSecond,
		"matching.rps":                     requestsPerSecond,
		"matching.persistenceMaxQPS":       requestsPerSecond,

		// Housekeeping of long-lived clusters. The server never stops the workers behind these three: they would go on
		// asking for work after a stop and find the next server at the same address.
		"worker.taskQueueScannerEnabled":       false,
		"worker.historyScannerEnabled":         false,
		"system.enableParentClosePolicyWorker": false,

		// No request to the internet for newer versions.
		"frontend.enableServerVersionCheck": false,
		// Changes of a namespace are visible sooner than after the default of two seconds.
		"system.namespaceCacheRefreshInterval": "500ms",
	}
}

// dynamicConfig is the tuning with the caller's values on top; the keys do not depend on case. The values have the type that
// the server asks for: it converts any other in each of a request's dozens of look-ups.
func dynamicConfig(overrides map[string]any) dynamicconfig.StaticClient {
	values := dynamicconfig.StaticClient{}
	for _, layer := range []map[string]any{tuning(), overrides} {
		for key, value := range layer {
			constrained, ok := value.([]dynamicconfig.ConstrainedValue)
			if !ok {
				constrained = []dynamicconfig.ConstrainedValue{{Value: value}}
			}
			values[dynamicconfig.MakeKey(key)] = constrained
		}
	}
	return values
}
