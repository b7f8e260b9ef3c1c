package sandbox

import (
	"context"
	_ "embed" // of the probe
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// probeScript detects at the start of a worker that this machine does not isolate scripts. The corpus of the tests, not this
// script, proves the isolation itself.
//
//go:embed probe.py
var probeScript string

// probe runs the script once beside another interpreter. The error names the layers that this machine does not have.
func (s *Sandbox) probe(ctx context.Context) error {
	neighbour, err := s.spawn(ctx, "")
	if err != nil {
		return fmt.Errorf("%w: %w%s", ErrUnavailable, err, advice(err.Error()))
	}
	defer neighbour.close()
	c, err := s.spawn(ctx, "")
	if err != nil {
		return fmt.Errorf("%w: %w%s", ErrUnavailable, err, advice(err.Error()))
	}
	defer c.close()
	offline := s.options
	offline.Dial = nil
	j := Job{Step: "probe", Script: probeScript, Body: fmt.Sprintf(`{"user":%d}`, c.place.user), Timeout: 30 * time.Second}
	r, f := c.run(ctx, j, offline)
	missing := map[string][]string{}
	idle := Job{Step: "probe", Script: "def main(event, context): return 1", Body: "{}", Timeout: 30 * time.Second}
	if _, ended := neighbour.run(ctx, idle, offline); ended != nil {
		missing["a session of its own for each script (setsid)"] = []string{"end other scripts by kill(0, 9)"}
	}
	switch managed, ok := managedBy(r); {
	case ok && f == nil:
		for _, m := range managed {
			missing[m[0]] = append(missing[m[0]], m[1])
		}
	case len(missing) > 0: // the script may have ended itself too
	case f != nil:
		return fmt.Errorf("%w: the self-test failed: %w\n%s", ErrUnavailable, f, r.Log)
	default:
		return fmt.Errorf("%w: the self-test returned no result", ErrUnavailable)
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: %s", ErrUnavailable, describeMissing(missing))
	}
	s.reportLayers(c.zygote.landlock)
	return nil
}

// managedBy returns what the probe was able to do, as pairs of a layer and an action.
func managedBy(r Result) (managed [][2]string, ok bool) {
	var value struct {
		Body string `json:"body"`
	}
	return managed, json.Unmarshal(r.Value, &value) == nil && json.Unmarshal([]byte(value.Body), &managed) == nil
}

func describeMissing(missing map[string][]string) string {
	var parts []string
	for _, layer := range slices.Sorted(maps.Keys(missing)) {
		parts = append(parts, fmt.Sprintf("a script could %s (missing layer: %s)", strings.Join(missing[layer], ", "), layer))
	}
	return strings.Join(parts, "; ")
}

// landlockScoped is the version of Landlock that restricts signals and abstract sockets (Linux 6.12).
const landlockScoped = 6

// reportLayers logs the optional layers. Without them, the other layers still isolate scripts.
func (s *Sandbox) reportLayers(landlock int) {
	log := s.options.Log
	log.Info("sandbox self-test passed", "users", s.places.users, "cgroups", s.places.root.String(), "landlock",
		max(landlock, 0))
	if landlock < landlockScoped {
		log.Warn("Landlock not available or too old, continuing with the other layers", "version", max(landlock, 0),
			"hint", "Linux 6.12 or later with Landlock among its security modules has version 6")
	}
	if s.places.root == nil && s.options.Cgroup != "off" {
		log.Warn("cgroups for scripts not available, continuing with limits of each process", "hint",
			"delegate memory, pids and cpu to the worker (systemd: Delegate=yes), or bound the worker's container")
	}
}

// advice returns what to do about an error of bubblewrap, or an empty text.
func advice(complaint string) string {
	for _, known := range []struct{ text, todo string }{
		{"No permissions to create new namespace", "allow user namespaces: sysctl kernel.unprivileged_userns_clone=1"},
		{"setting up uid map", "allow user namespaces: give bwrap an AppArmor profile, or " +
			"sysctl kernel.apparmor_restrict_unprivileged_userns=0"},
		{"Operation not permitted", "in a container, allow namespaces: " +
			"--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined"},
		{"No module named 'requests'", "apt-get install python3-requests"},
		{"No such file or directory", "apt-get install python3 python3-requests"},
	} {
		if strings.Contains(complaint, known.text) {
			return "\n" + known.todo
		}
	}
	return ""
}
