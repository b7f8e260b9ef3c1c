package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/servers"
)

// drillTimeVariable is how long the drill of the real components goes on with faults in random order; "make soak" sets
// it to an hour. Without it, each fault comes once and is short.
const drillTimeVariable = "HOOKTURN_DRILL_TIME"

// production is a drill on servers as in production: Temporal on PostgreSQL with 64 history shards, and three NATS servers
// whose streams have three replicas.
type production struct {
	*drill
	db         *servers.Postgres
	natsAddrs  []string
	clusterTo  []string
	natsServer []*proc
}

func newProduction(t *testing.T) *production {
	t.Helper()
	r := &production{}
	for range 3 {
		r.natsAddrs, r.clusterTo = append(r.natsAddrs, freeAddr()), append(r.clusterTo, freeAddr())
	}
	var err error
	r.db, err = servers.NewPostgres(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.db.Remove()) })
	require.NoError(t, r.db.Start(t.Context()))
	r.drill = newDrill(t, drillConversations, drillOptions{
		env: []string{"HOOKTURN_REPLICAS=3"},
		nats: func(t *testing.T, dir string) string {
			t.Helper()
			r.natsServer = make([]*proc, len(r.natsAddrs))
			for i := range r.natsAddrs {
				r.natsServer[i] = r.startOf(t, dir, i)
			}
			return "nats://" + strings.Join(r.natsAddrs, ",nats://")
		},
		temporal: []string{"--postgres=" + r.db.URL("temporal"), "--history-shards=64"},
	})
	return r
}

// startOf starts the i-th NATS server.
func (r *production) startOf(t *testing.T, dir string, i int) *proc {
	t.Helper()
	var routes []string
	for j, addr := range r.clusterTo {
		if j != i {
			routes = append(routes, addr)
		}
	}
	return server(t, "nats", "--nats-addr="+r.natsAddrs[i], "--cluster-addr="+r.clusterTo[i], fmt.Sprintf("--name=nats-%d", i),
		"--routes="+strings.Join(routes, ","), "--data-dir="+filepath.Join(dir, fmt.Sprintf("nats-%d", i)))
}

// restartNATS kills a NATS server and starts it again.
func (r *production) restartNATS(t *testing.T, i int, away time.Duration) {
	t.Helper()
	r.kill(r.natsServer[i])
	r.stay(t, away)
	r.natsServer[i] = r.startOf(t, r.dir, i)
}

func (r *production) restartTemporal(t *testing.T, away time.Duration) {
	t.Helper()
	r.kill(r.temporal)
	r.stay(t, away)
	r.startTemporal(t)
}

func (r *production) restartPostgres(t *testing.T, away time.Duration) {
	t.Helper()
	r.killed = true
	r.db.Stop()
	r.stay(t, away)
	require.NoError(t, r.db.Start(t.Context()))
}

// stay lets a fault last.
func (r *production) stay(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// mishap is something that goes wrong for a time and is over when do returns.
type mishap struct {
	name string
	do   func(t *testing.T, d time.Duration)
}

func (r *production) faults() []mishap {
	var all []mishap
	for i := range r.natsAddrs {
		all = append(all, mishap{fmt.Sprintf("NATS server %d killed", i), func(t *testing.T, d time.Duration) { r.restartNATS(t, i, d) }},
			mishap{fmt.Sprintf("NATS server %d stopped", i), func(t *testing.T, d time.Duration) {
				r.stopFor(t, d, r.natsServer[i])
			}})
	}
	for i := range r.workers {
		all = append(all,
			mishap{fmt.Sprintf("worker %d stopped", i), func(t *testing.T, d time.Duration) {
				r.stopFor(t, d, r.workers[i])
			}},
			mishap{fmt.Sprintf("starter %d stopped", i), func(t *testing.T, d time.Duration) {
				r.stopFor(t, d, r.starters[i])
			}},
			mishap{fmt.Sprintf("worker %d killed", i), func(t *testing.T, _ time.Duration) {
				r.kill(r.workers[i])
				r.workers[i] = r.program(t, "worker")
			}},
			mishap{fmt.Sprintf("starter %d killed", i), func(t *testing.T, _ time.Duration) {
				r.kill(r.starters[i])
				r.starters[i] = r.program(t, "starter")
			}})
	}
	return append(all,
		mishap{"PostgreSQL stopped", r.restartPostgres},
		mishap{"Temporal killed", r.restartTemporal},
		mishap{"Temporal stopped", func(t *testing.T, d time.Duration) { r.stopFor(t, d, r.temporal) }})
}

// TestDrill_RealComponents kills the servers of production one after another under load.
func TestDrill_RealComponents(t *testing.T) {
	r := newProduction(t)
	r.start(t)
	stop := r.load(t)
	r.recovered(t, "start")
	if text := os.Getenv(drillTimeVariable); text != "" {
		lasts, err := time.ParseDuration(text)
		require.NoError(t, err, drillTimeVariable)
		r.atRandom(t, lasts)
	} else {
		for i := range r.natsAddrs {
			r.restartNATS(t, i, time.Second)
			r.recovered(t, fmt.Sprintf("NATS server %d killed", i))
		}
		r.restartPostgres(t, 5*time.Second)
		r.recovered(t, "PostgreSQL stopped for 5 s")
		r.restartTemporal(t, time.Second)
		r.recovered(t, "Temporal killed")
	}
	stop()
	r.check(t)
}

// atRandom lets faults of 1 to 60 s happen in random order. PostgreSQL is away for 30 s once at least.
func (r *production) atRandom(t *testing.T, lasts time.Duration) {
	t.Helper()
	r.restartPostgres(t, 30*time.Second)
	r.recovered(t, "PostgreSQL stopped for 30 s")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	all := r.faults()
	for end := time.Now().Add(lasts); time.Now().Before(end); {
		f := all[random.IntN(len(all))]
		d := time.Duration(1+random.IntN(60)) * time.Second
		f.do(t, d)
		r.recovered(t, fmt.Sprintf("%s for %v", f.name, d))
	}
}
