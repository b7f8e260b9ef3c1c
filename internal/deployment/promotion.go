package deployment

import (
	"time"

	"golang.org/x/mod/semver"
)

// description is a deployment as the server describes it.
type description struct {
	Current  string // build id; "" = there is no current version: unversioned workers get the tasks
	Versions []version
}

// version is one version of a deployment.
type version struct {
	BuildID string
	Created time.Time // when the first worker of this version polled
	Lasted  time.Time // when it last became the current one; zero: never
	State   string    // current, ramping, draining, drained, inactive
}

func (d description) version(build string) (version, bool) {
	for _, v := range d.Versions {
		if v.BuildID == build {
			return v, true
		}
	}
	return version{}, false
}

// reason is why a version is to become the current one.
type reason string

const (
	reasonNone     reason = ""
	reasonFirst    reason = "the deployment had no current version"
	reasonNewer    reason = "it is newer than the current version"
	reasonDeserted reason = "the current version has no workers"
)

const (
	// pollMax is longer than a poll lasts: a worker that polls has begun a poll within this time.
	pollMax = 75 * time.Second
	// noPollersFor is for how long the server must list no worker of the current version: after its restart it lists
	// none until they poll again.
	noPollersFor = 15 * time.Second
)

// promotion decides whether a version is to become the current one by itself. A version that was current before was
// replaced by a newer one or by an operator: it does not come back by itself while the current version has workers.
func promotion(d description, mine string) reason {
	if d.Current == mine {
		return reasonNone
	}
	own, known := d.version(mine)
	if !known {
		return reasonNone // the server did not receive its first poll yet
	}
	if d.Current == "" {
		return reasonFirst
	}
	current, known := d.version(d.Current)
	if own.Lasted.IsZero() && (!known || newer(own, current)) {
		return reasonNewer
	}
	return reasonNone
}

// newer compares versions: by semantic versioning where both follow it, else by when the server saw them first.
func newer(a, b version) bool {
	x, y := semantic(a.BuildID), semantic(b.BuildID)
	if semver.IsValid(x) && semver.IsValid(y) {
		return semver.Compare(x, y) > 0
	}
	return a.Created.After(b.Created)
}

func semantic(build string) string {
	if build != "" && build[0] != 'v' {
		return "v" + build
	}
	return build
}
