package arch

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// ban restricts names of a package, or the whole package, to the packages that are responsible for them.
type ban struct {
	pkg    string
	names  []string // nil bans the import itself
	except []string // packages where it is allowed
	only   string   // when set, the ban applies to this package only
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
		except: []string{"internal/egress", "internal/oauth2", "internal/sandbox", "internal/gateway", "internal/app", "internal/cli", nested,
			"examples/engines/go", // not a part of the product
		},
		reason: "outbound HTTP goes through internal/egress, which limits addresses, sizes and times",
	},
	{
		pkg:    "net",
		names:  []string{"Dial", "DialTimeout", "Dialer", "DialTCP"},
		except: []string{"internal/egress", "internal/cli", nested},
		reason: "a dialer without the egress policy of internal/egress reaches the internal network",
	},
	{
		pkg:    "os/exec",
		except: []string{"internal/sandbox", "internal/jq", nested},
		reason: "only internal/sandbox and internal/jq start processes",
	},
	{
		pkg: "github.com/nats-io/nats.go/jetstream",
		except: []string{
			"internal/natsclient", "internal/bus", "internal/quota", "internal/pubsub", "internal/eventreader", "internal/store",
			nested,
		},
		reason: "only internal/natsclient, internal/bus, internal/quota, internal/eventreader and internal/store use JetStream, " +
			"and internal/pubsub names it for its connection; they have constructors for the other packages",
	},
	{
		pkg:    "time",
		names:  []string{"After", "AfterFunc", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until"},
		only:   "workflows",
		reason: "a workflow is replayed: use workflow.Now, workflow.Sleep and workflow.NewTimer",
	},
}

// holds reports whether the ban applies to a package.
func (b ban) holds(pkg string) bool {
	if b.only != "" {
		return within(pkg, b.only)
	}
	return !slices.ContainsFunc(b.except, func(allowed string) bool { return within(pkg, allowed) })
}

// callFaults returns one sentence for every banned name outside tests.
func callFaults(tree []source) []string {
	var faults []string
	for _, s := range tree {
		if s.test {
			continue
		}
		for _, b := range bans {
			if !b.holds(s.pkg) {
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

// uses returns the banned names that a file uses.
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

func TestCalls_Bans(t *testing.T) {
	t.Parallel()
	report(t, callFaults(readTree(t)))
}

func TestCalls_CanFail(t *testing.T) {
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
