package rollout

import "time"

// forgotten is after how long without a question a comparison is made again from the start: what happened meanwhile is not
// known, and the files may have been equal.
const forgotten = 10 * Grace

// comparison is since when the part of a digest differs from those of other starters.
type comparison struct {
	own    string
	since  map[string]time.Time // by the part of the other starters
	latest time.Time            // when it was made
}

// next returns the comparison with what differs now. What differed before in the same way keeps its time; a change of
// either part begins a new one.
func (c comparison) next(own string, differing []string, now time.Time) comparison {
	same := c.own == own && now.Sub(c.latest) <= forgotten
	since := make(map[string]time.Time, len(differing))
	for _, part := range differing {
		since[part] = now
		if before, ok := c.since[part]; ok && same {
			since[part] = before
		}
	}
	return comparison{own: own, since: since, latest: now}
}

// passing reports whether a part differs for Grace at most: a change of the files is on its way, and not missing for good.
func (c comparison) passing(now time.Time) bool {
	for _, since := range c.since {
		if now.Sub(since) <= Grace {
			return true
		}
	}
	return false
}
