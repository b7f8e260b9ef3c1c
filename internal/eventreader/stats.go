package eventreader

// Stats are figures of a reader at one moment.
type Stats struct {
	Backlog       uint64 // events of all partitions that are not acknowledged; the same for every reader
	Waiting       int    // events that this reader knows and that are not handled, without parked ones
	Conversations int    // conversations with such events
	Retrying      int    // those of them that wait for a retry
	ParkedTenants int    // tenants, counted for each partition, that have more conversations than fit into memory
	KeptBytes     int64  // event bodies that wait in memory
	Tenants       map[string]TenantStats
}

// Stats returns the figures of now.
func (r *Reader) Stats() Stats {
	s := Stats{Backlog: r.backlog.Load(), KeptBytes: r.kept.used.Load(), Tenants: r.scheduler.stats()}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.assignments {
		if p := h.reading.Load(); p != nil {
			p.addStats(&s)
		}
	}
	return s
}

func (p *partition) addStats(s *Stats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Conversations += len(p.queues)
	s.Retrying += p.retrying
	for _, q := range p.queues {
		s.Waiting += q.waiting
	}
	for _, b := range p.backlogs {
		if b.parked {
			s.ParkedTenants++
		}
	}
}
