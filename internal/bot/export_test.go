package bot

import "sync/atomic"

// CountComparisons counts how often a name is compared with the known ones.
func (o *Options) CountComparisons(n *atomic.Int32) {
	nearest := o.withDefaults().nearest
	o.nearest = func(text string, names []string) string {
		n.Add(1)
		return nearest(text, names)
	}
}
