package eventreader

import "sync/atomic"

// memory counts the bytes of event bodies against a limit.
type memory struct {
	limit int64
	used  atomic.Int64
}

// add takes n bytes, and reports whether they were free.
func (m *memory) add(n int64) bool {
	if m.used.Add(n) <= m.limit {
		return true
	}
	m.used.Add(-n)
	return false
}

func (m *memory) remove(n int64) { m.used.Add(-n) }
