// Package eventreader reads the events of this starter's share of the partitions and calls a handler for each.
//
// It keeps three promises. No loss: an event is acknowledged after the handler has returned Ack or after its dead letter
// is stored, and never before. Order: the events of one conversation reach the handler one after another in stream order,
// on every starter, across restarts and takeovers; an event that waits for its next try holds back the later events of its
// conversation and those of no other. And one at a time: an event that this reader holds is not handled a second time
// when JetStream delivers it again. An event may still be handled twice, by two readers when one of them dies or after an
// acknowledgement was lost: handlers recognize a repeated event. An event that this reader does not hold and that is
// delivered again goes to the handler, whatever the reader remembers. Another event of a known sequence (storedid.go) is
// such an event: an acknowledgement is that of the event which the handler has seen, or none (ack.go).
//
// A backlog of any size needs bounded memory. A conversation's queue holds a position in the stream and not the events
// (queue.go); a tenant with too many conversations waits in the stream as a whole; event bodies in memory have a limit; the
// calls of the handler are shared by tenants (scheduler.go); and when JetStream stops delivering because too much is
// unacknowledged, the reader reads the stream itself (ahead.go). When the stream is nearly full, the events of the tenants
// that hold most of it are passed to Options.Full when their turn comes, and not to the handler (room.go).
//
// The life of a partition on one starter:
//
//	            ┌────────────┐  every starter lists the live starters and computes its share (rebalance.go)
//	            │  not ours  │◄────────────────────────────────────────────────────────────────┐
//	            └─────┬──────┘                                                                 │
//	                  │ assigned, no lease key exists, and none was lost (freshbucket.go)      │
//	            ┌─────▼──────┐  key created in HOOKTURN_STARTERS (lease.go)                    │
//	            │   leased   │──────────────────── key exists: another starter has it ────────►│
//	            └─────┬──────┘                                                                 │
//	                  │ unacknowledged events of the previous reader are read (takeover.go)    │
//	            ┌─────▼──────┐  lease refreshed each third of its TTL,                         │
//	       ┌───►│  reading   │  held events reported to JetStream as in progress               │
//	refreshed   └─┬───┬────┬─┘  (partition.go)                                                 │
//	       └──────┘   │    │                                                                   │
//	  assigned to     │    │ refresh failed until three quarters of the TTL have passed,       │
//	  another starter,│    │ or the key names another owner                                    │
//	  or Stop         │    │                                                                   │
//	            ┌─────▼──┐ ┌▼───────┐                                                          │
//	            │draining│ │  lost  │  no new handler starts; contexts of running handlers end │
//	            └─────┬──┘ └┬───────┘  (lost: at once; draining: after drainTimeout)           │
//	                  │     │                                                                  │
//	                  │     └── key left to expire: the last quarter of the TTL is the margin ►│
//	                  └── held events returned with a nak, key removed ───────────────────────►│
//
// The margin separates two readers without a common clock: a holder considers its lease lost at three quarters of the
// TTL after it sent its last successful refresh; the key exists for the whole TTL after the server received that
// refresh. A key that is lost with the bucket does not exist for so long: no lease is acquired in the next bucket for one
// TTL.
package eventreader
