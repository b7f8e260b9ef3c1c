package rollout

import "time"

// Age makes what this starter remembers of the other ones older, and has their announcements read again.
func (f *Files) Age(by time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.until = time.Time{}
	for part := range f.since {
		c := &f.since[part]
		c.latest = c.latest.Add(-by)
		for other := range c.since {
			c.since[other] = c.since[other].Add(-by)
		}
	}
}
