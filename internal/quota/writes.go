package quota

// writeCount counts what this process has written. A count that was made before does not contain it.
type writeCount struct {
	open  uint64 // bytes of writes under way
	ended uint64 // bytes of all that were stored
}

// since returns the bytes that a count lacks which began when so many bytes were stored.
func (w writeCount) since(ended uint64) uint64 { return w.open + w.ended - ended }

// Write is a write of a tenant that is under way.
type Write struct {
	quota  *Quota
	tenant *ofTenant
	bytes  uint64
}

// Write counts a write of a tenant from now on.
func (q *Quota) Write(tenant string) *Write {
	q.mu.Lock()
	defer q.mu.Unlock()
	of := q.of(tenant)
	of.writes++
	return &Write{quota: q, tenant: of}
}

// Add counts bytes of the write.
func (w *Write) Add(bytes int) {
	w.quota.mu.Lock()
	defer w.quota.mu.Unlock()
	w.bytes += uint64(bytes)
	w.tenant.open += uint64(bytes)
	w.quota.all.open += uint64(bytes)
}

// End ends the write.
func (w *Write) End(stored bool) {
	w.quota.mu.Lock()
	defer w.quota.mu.Unlock()
	w.tenant.writes--
	for _, of := range []*writeCount{&w.tenant.writeCount, &w.quota.all} {
		of.open -= w.bytes
		if stored {
			of.ended += w.bytes
		}
	}
}

// Wrote counts a write of a tenant that was stored.
func (q *Quota) Wrote(tenant string, bytes int) {
	w := q.Write(tenant)
	w.Add(bytes)
	w.End(true)
}

// Writing counts a write of so many bytes of a tenant until end is called.
func (q *Quota) Writing(tenant string, bytes int) (end func(stored bool)) {
	w := q.Write(tenant)
	w.Add(bytes)
	return w.End
}
