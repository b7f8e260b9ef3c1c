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
// keeps a core busy: steps become slow, none is lost, none fails, and the endpoint receives few of them twice. When workflow
// tasks that were lost under load began their attempts again, it received 1,938 requests.
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
	// A worker makes 16 first attempts of a bot inside of workflow tasks before it knows that the endpoint is slow. When it
	// stands still for more than 2 s, the timeout of such a task, the other worker repeats these.
	const botCount, firstAttempts = 4, 16
	d.takenOver = botCount * firstAttempts
	d.check(t)
	require.LessOrEqual(t, d.samples.Ledger().Len(), conversations+conversations/1000+1+byChance+botCount*firstAttempts,
		"retries included")
}
