package e2e

import (
	"testing"
	"time"
)

// drillConversations is how many conversations have something to do during a short drill.
const drillConversations = 32

// TestDrill_StoppedProcesses stops each process for some seconds and continues it, longer than heartbeats, leases and
// workflow tasks last. Nothing dies, so that an endpoint receives next to nothing twice, but what workers had in hand when
// one of them, or Temporal, was stopped.
func TestDrill_StoppedProcesses(t *testing.T) {
	d := newDrill(t, drillConversations, drillOptions{})
	d.start(t)
	stop := d.load(t)
	d.recovered(t, "start")
	for _, fault := range []struct {
		name  string
		p     []*proc
		pause time.Duration
	}{
		{"Temporal stopped for 3 s", []*proc{d.temporal}, 3 * time.Second},
		{"NATS stopped for 3 s", []*proc{d.nats}, 3 * time.Second},
		{"a worker stopped for 4 s", d.workers[:1], 4 * time.Second},
		{"a starter stopped for 12 s", d.starters[:1], 12 * time.Second},
		{"both servers stopped for 8 s", []*proc{d.temporal, d.nats}, 8 * time.Second},
	} {
		d.stopFor(t, fault.pause, fault.p...)
		d.recovered(t, fault.name)
	}
	stop()
	d.check(t)
}

// TestDrill_KilledProcesses kills each process and starts it again.
func TestDrill_KilledProcesses(t *testing.T) {
	d := newDrill(t, drillConversations, drillOptions{})
	d.start(t)
	stop := d.load(t)
	d.recovered(t, "start")
	d.kill(d.workers[0])
	d.recovered(t, "a worker killed")
	d.workers[0] = d.program(t, "worker")
	d.kill(d.starters[0])
	d.recovered(t, "a starter killed")
	d.starters[0] = d.program(t, "starter")
	d.kill(d.nats)
	d.startNATS(t)
	d.recovered(t, "NATS killed")
	d.kill(d.temporal)
	d.startTemporal(t)
	d.recovered(t, "Temporal killed")
	d.kill(d.workers[0])
	d.kill(d.workers[1])
	d.workers[0], d.workers[1] = d.launch(t, "worker"), d.launch(t, "worker")
	awaitReady(t, d.workers...)
	d.recovered(t, "all workers killed")
	stop()
	d.check(t)
}
