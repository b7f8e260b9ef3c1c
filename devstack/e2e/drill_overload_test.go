package e2e

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/devstack/invariants"
	"github.com/hookturn/hookturn/schemas"
)

// burn keeps one core busy until the process is killed.
func burn() {
	for n := uint64(1); ; n = n*6364136223846793005 + 1 {
		if n == 0 {
			return
		}
	}
}

// TestDrill_Overload asks 900 conversations at once for a step at an endpoint that takes 1 s, beside a process that
// keeps a core busy: steps become slow, none is lost, none fails, and the endpoint receives at most one of them twice.
func TestDrill_Overload(t *testing.T) {
	const conversations = 900
	d := newDrill(t, conversations, drillOptions{})
	d.start(t)
	self, err := os.Executable()
	require.NoError(t, err)
	run(t, self, []string{role + "=burn"})
	unfollow := d.follow(t)
	for i, key := range d.keys {
		e := invariants.Event{ConversationKey: key, ID: "only"}
		d.send(t, e, schemas.TypeStepRequested,
			fmt.Sprintf(`{"step":"SECOND","user":{"id":"u-%d","name":%q}}`, i, invariants.EventMark(e)))
	}
	began := time.Now()
	d.waitAll(t)
	unfollow()
	t.Logf("%d steps answered within %v", conversations, time.Since(began).Round(time.Second))
	d.check(t)
	require.LessOrEqual(t, d.samples.Ledger().Len(), conversations+1)
}
