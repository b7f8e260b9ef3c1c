package arch

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// room is one row of the import table of docs/architecture.md.
type room struct {
	promise string
	may     []string // rooms of ours that it may import; "x/*" are the packages one level below x
}

// anything marks the rooms that wire the others together.
var anything = []string{"*"}

// doers is what an activity may use: everything that does something, nothing that decides.
var doers = []string{
	"schemas", "internal/fault", "internal/secret", "internal/signature", "internal/egress", "internal/sandbox",
	"internal/bus", "internal/store", "internal/bot", "internal/dialect", "internal/dialect/*", "internal/limit", "internal/oauth2",
	"internal/step", "internal/telemetry", "internal/scripthost",
}

// house is the table. Arrows only point up it: a room imports rooms that stand above it.
var house = map[string]room{
	"schemas":           {"what travels outside", []string{"internal/dialect/strictjson"}},
	"internal/fault":    {"why something failed, in the closed words of the contract", nil},
	"internal/confined": {"reading files that somebody else may write", nil},
	"internal/secret": {
		"values that must not be printed, and where they are kept",
		[]string{"internal/confined"},
	},
	"internal/signature": {
		"make and check signature headers",
		[]string{"internal/secret"},
	},
	"internal/header": {"which request headers may be set, at load and at run time", nil},
	"internal/egress": {
		"the only package that opens outbound HTTP",
		[]string{"internal/fault", "internal/header", "schemas"}, // schemas: the record of an attempt
	},
	"internal/sandbox": {
		"the only package that starts processes",
		[]string{"schemas", "internal/fault", "internal/egress"},
	},
	"internal/bus": {
		"connection to NATS, streams, publishing, dead letters, publish-subscribe",
		[]string{"schemas", "internal/fault"},
	},
	"internal/store": {
		"what outlives a process: users, chats, channels, files, keys, endpoints, queues, posted events, claims",
		[]string{"schemas", "internal/bus", "internal/fault"},
	},
	"internal/permissions": {
		"what each user of NATS may do",
		[]string{"schemas"},
	},
	"internal/bot": {
		"what a bot file means",
		[]string{"schemas", "internal/secret", "internal/confined", "internal/fault", "internal/header"},
	},
	"internal/jq":                 {"running jq programs, each in a process with bounds", nil},
	"internal/dialect/strictjson": {"reading a partner's JSON without guessing", nil},
	"internal/dialect": {
		"what every partner's JSON has in common, no I/O",
		[]string{"schemas", "internal/bot", "internal/fault", "internal/dialect/strictjson"},
	},
	"internal/dialect/channel": {
		"what a channel's script is told, and what becomes of its answer, no I/O",
		[]string{"internal/bot", "internal/step", "internal/fault", "internal/dialect/strictjson"},
	},
	"internal/channel": {
		"which integration channels there are, and their administration",
		[]string{"schemas", "internal/bot"},
	},
	"internal/scripthost": {
		"what a script may ask of hookturn while it runs",
		[]string{
			"schemas", "internal/fault", "internal/egress", "internal/header", "internal/sandbox", "internal/store", "internal/bot",
			"internal/secret", "internal/socket",
		},
	},
	"internal/socket": {
		"speaking with the clients that keep a websocket open to a channel",
		[]string{
			"schemas", "internal/bot", "internal/step", "internal/fault", "internal/dialect/channel", "internal/dialect/strictjson",
		},
	},
	"internal/dialect/*": {
		"one partner's JSON, both ways, no I/O; dialects do not know each other",
		[]string{
			"schemas", "internal/bot", "internal/fault", "internal/dialect", "internal/dialect/strictjson",
		},
	},
	"internal/signedurl": {"tokens of addresses at which a step is ended or a file is read, encrypted", nil},
	"internal/limit": {
		"how much an endpoint may be asked",
		[]string{"schemas", "internal/bot", "internal/fault"},
	},
	"internal/oauth2": {
		"bearer tokens for endpoints behind OAuth 2",
		[]string{"schemas", "internal/secret", "internal/fault"},
	},
	"internal/load": {"whether this process can take on more work and still report in time", nil},
	"internal/step": {
		"names and payloads across the Temporal boundary, and the reply that follows from them",
		[]string{"schemas", "internal/bot", "internal/fault"},
	},
	"workflows": {
		"what a conversation does next; deterministic",
		[]string{"internal/step", "internal/bot", "schemas", "internal/fault"},
	},
	"activities": {
		"doing it; thin; never workflows",
		doers,
	},
	"internal/gateway": {
		"the outside door: HTTP and websocket",
		[]string{
			"schemas", "internal/dialect", "internal/dialect/*", "internal/bot", "internal/bus", "internal/store", "internal/signature",
			"internal/step", "internal/fault", "internal/signedurl", "internal/telemetry", "internal/channel", "internal/socket",
		},
	},
	"internal/telemetry": {"names and set-up of logs, metrics and traces", []string{"schemas"}},
	"internal/eventreader": {
		"reads a share of the partitions and calls a handler for each event, in the order of its conversation",
		[]string{"schemas", "internal/bus", "internal/fault"},
	},
	"internal/intake": {
		"the handler of the event reader: turns one event into an Update of its conversation",
		[]string{
			"schemas", "internal/eventreader", "internal/bot", "internal/step", "internal/fault", "internal/telemetry",
		},
	},
	"internal/app":  {"wires a process; owns the order of start and stop", anything},
	"internal/cli":  {"the commands of starter and worker as a library", anything},
	"internal/arch": {"tests of the house", anything},
	"worker":        {"os.Exit(run(...))", []string{"internal/app", "internal/cli"}},
	"starter":       {"os.Exit(run(...))", []string{"internal/app", "internal/cli"}},
}

// nested is the module that may use everything and that nothing may use: it carries the Temporal server.
const nested = "devstack"

// doors are rooms that nothing but the rooms named may enter, whatever else the table says.
var doors = map[string][]string{
	"internal/app":  {"internal/cli", "worker", "starter"},
	"internal/cli":  {"worker", "starter"},
	"internal/arch": nil,
	"worker":        nil,
	"starter":       nil,
}

// testKit ends the names of packages that hold conformance suites and other helpers of tests.
const testKit = "test"

// importFaults gives one sentence for every import that the table forbids.
func importFaults(tree []source) []string {
	var faults []string
	for _, s := range tree {
		if within(s.room, nested) {
			continue
		}
		for _, imported := range s.imports {
			target, ours := strings.CutPrefix(imported, module+"/")
			if !ours || target == s.room {
				continue
			}
			if reason := forbids(s, target); reason != "" {
				faults = append(faults, fmt.Sprintf("%s imports %s: %s", s.path, target, reason))
			}
		}
	}
	slices.Sort(faults)
	return faults
}

// forbids says why a file may not import a room of ours, or "".
func forbids(s source, target string) string {
	switch {
	case within(target, nested):
		return "devstack is a module of its own; importing it would pull the Temporal server into the product"
	case s.room == "workflows" && target == "activities", s.room == "activities" && target == "workflows":
		return "workflows and activities meet only in internal/step, by name, so that neither drags in the other"
	case s.test:
		return "" // a test may look across the house; the compiler still forbids cycles
	}
	if strings.HasSuffix(target, testKit) {
		return "a package named …test helps tests and must not reach a binary"
	}
	row, known := rowOf(s.room)
	if !known {
		return "this package has no row in the import table (internal/arch/imports_test.go, docs/architecture.md); " +
			"give it one with a sentence, or put the code into a room that exists"
	}
	if guests, guarded := doors[target]; guarded && !slices.Contains(guests, s.room) {
		return fmt.Sprintf("only %s may import it", orNobody(guests))
	}
	if !slices.Equal(row.may, anything) && !matches(row.may, target) {
		return fmt.Sprintf("%q is %s; of ours it may import %s", s.room, row.promise, orNobody(row.may))
	}
	return ""
}

// rowOf finds the row of a room: its own, or that of its parent's children.
func rowOf(name string) (room, bool) {
	if row, ok := house[name]; ok {
		return row, true
	}
	row, ok := house[path.Dir(name)+"/*"]
	return row, ok
}

func matches(rooms []string, target string) bool {
	return slices.Contains(rooms, target) || slices.Contains(rooms, path.Dir(target)+"/*")
}

func within(name, parent string) bool { return name == parent || strings.HasPrefix(name, parent+"/") }

func orNobody(rooms []string) string {
	if len(rooms) == 0 {
		return "nothing"
	}
	return strings.Join(rooms, ", ")
}

func TestImportsFollowTheTable(t *testing.T) {
	t.Parallel()
	report(t, importFaults(readTree(t)))
}

func TestEveryPackageHasARow(t *testing.T) {
	t.Parallel()
	for _, s := range readTree(t) {
		if within(s.room, nested) || s.test {
			continue
		}
		_, known := rowOf(s.room)
		require.True(t, known, "%s: package %s has no row in the import table", s.path, s.room)
	}
}

func TestTheTableCanFail(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ file, imports, reason string }{
		"a dialect knows another": {"internal/dialect/plain/a.go", "internal/dialect/haptik", "no I/O"},
		"a leaf climbs down":      {"internal/fault/a.go", "internal/egress", "may import nothing"},
		"a test crosses over":     {"workflows/a_test.go", "activities", "internal/step"},
		"a test kit ships":        {"activities/a.go", "internal/dialect/dialecttest", "helps tests"},
		"a workflow acts":         {"workflows/a.go", "internal/egress", "deterministic"},
		"an unknown room":         {"internal/misc/a.go", "schemas", "no row"},
		"devstack is imported":    {"internal/app/a_test.go", "devstack/stack", "module of its own"},
		"main does work":          {"starter/main.go", "internal/bus", "may import internal/app"},
		"wiring is reused":        {"internal/gateway/a.go", "internal/app", "only internal/cli"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := fmt.Sprintf("package a\n\nimport _ %q\n", module+"/"+c.imports)
			faults := importFaults(parseAll(t, map[string]string{c.file: text}))
			require.Len(t, faults, 1)
			require.Contains(t, faults[0], c.reason)
		})
	}
}
