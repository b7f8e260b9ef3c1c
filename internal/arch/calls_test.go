package arch

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// ban keeps a name of another package, or all of it, to the rooms that own the matter.
type ban struct {
	pkg    string
	names  []string // nil bans the import itself
	rooms  []string // where it is allowed; with only set, everywhere but there
	only   string   // when set, the ban holds in this room alone
	reason string
}

var bans = []ban{
	{
		pkg: "net/http",
		names: []string{
			"Client", "DefaultClient", "DefaultTransport", "Get", "Head", "Post", "PostForm", "Transport",
		},
		// internal/oauth2 wraps a client around the transport of internal/egress: the OAuth 2 library asks for one. The proxy of
		// internal/sandbox speaks over connections that internal/egress has made.
		rooms:  []string{"internal/egress", "internal/oauth2", "internal/sandbox", "internal/gateway", "internal/app", "internal/cli", nested},
		reason: "outbound HTTP goes through internal/egress, which guards addresses, sizes and times",
	},
	{
		pkg:    "net",
		names:  []string{"Dial", "DialTimeout", "Dialer", "DialTCP"},
		rooms:  []string{"internal/egress", "internal/cli", nested},
		reason: "a dialer without the guard of internal/egress reaches the inside network",
	},
	{
		pkg:    "os/exec",
		rooms:  []string{"internal/sandbox", "internal/jq", nested},
		reason: "only internal/sandbox and internal/jq start processes",
	},
	{
		pkg:    "github.com/nats-io/nats.go/jetstream",
		rooms:  []string{"internal/bus", "internal/eventreader", "internal/store", nested},
		reason: "only internal/bus, internal/eventreader and internal/store use JetStream; they have constructors for the other packages",
	},
	{
		pkg:    "time",
		names:  []string{"After", "AfterFunc", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until"},
		only:   "workflows",
		reason: "a workflow is replayed: use workflow.Now, workflow.Sleep and workflow.NewTimer",
	},
}

// holds says whether the ban is in force in a room.
func (b ban) holds(room string) bool {
	if b.only != "" {
		return within(room, b.only)
	}
	return !slices.ContainsFunc(b.rooms, func(allowed string) bool { return within(room, allowed) })
}

// callFaults gives one sentence for every banned name in the files that ship.
func callFaults(tree []source) []string {
	var faults []string
	for _, s := range tree {
		if s.test {
			continue
		}
		for _, b := range bans {
			if !b.holds(s.room) {
				continue
			}
			for _, name := range uses(s, b) {
				faults = append(faults, fmt.Sprintf("%s uses %s: %s", s.path, name, b.reason))
			}
		}
	}
	slices.Sort(faults)
	return faults
}

// uses lists what of a ban a file mentions.
func uses(s source, b ban) []string {
	if b.names == nil {
		if slices.Contains(s.imports, b.pkg) {
			return []string{b.pkg}
		}
		return nil
	}
	local := s.localName(b.pkg)
	if local == "" {
		return nil
	}
	var found []string
	ast.Inspect(s.ast, func(node ast.Node) bool {
		selector, ok := node.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, isName := selector.X.(*ast.Ident); isName && x.Name == local && slices.Contains(b.names, selector.Sel.Name) {
			found = append(found, local+"."+selector.Sel.Name)
		}
		return true
	})
	return slices.Compact(found)
}

func TestOwnersOfDangerousThings(t *testing.T) {
	t.Parallel()
	report(t, callFaults(readTree(t)))
}

func TestTheBansCanFail(t *testing.T) {
	t.Parallel()
	text := strings.Join([]string{
		`package a`,
		`import web "net/http"`,
		`import "os/exec"`,
		`import "time"`,
		`var client = web.Client{}`,
		`var start = time.Now()`,
		`var _ = exec.Command`,
	}, "\n")
	require.Len(t, callFaults(parseAll(t, map[string]string{"workflows/a.go": text})), 3)
	require.Len(t, callFaults(parseAll(t, map[string]string{"internal/egress/a.go": text})), 1)
	require.Empty(t, callFaults(parseAll(t, map[string]string{"devstack/a.go": text})))
	require.Empty(t, callFaults(parseAll(t, map[string]string{"workflows/a_test.go": text})))
}
