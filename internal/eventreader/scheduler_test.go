package eventreader

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// startedTasks receives each task when it is started: its call lasts until the test releases it. run notes that a task
// was started.
type startedTasks chan *task

func (s startedTasks) task(tenant string, size int64) *task {
	k := &task{tenant: tenant, size: size}
	k.run = func() { s <- k }
	return k
}

func (s startedTasks) count(t *testing.T, f *scheduler, n int) []*task {
	t.Helper()
	var got []*task
	for range n {
		got = append(got, <-s)
	}
	running := 0
	for _, x := range f.stats() {
		running += x.Running
	}
	require.Equal(t, n, running)
	return got
}

func TestScheduler_BusyTenantLeavesSlots(t *testing.T) {
	t.Parallel()
	f, s := newScheduler(100, 1<<20, 0), make(startedTasks, 1000)
	for range 500 {
		f.enqueue(s.task("busy", 1))
	}
	require.Equal(t, 80, f.stats()["busy"].Running)
	f.enqueue(s.task("quiet", 1))
	require.Equal(t, 1, f.stats()["quiet"].Running, "a tenant with work gets a slot at once")
	for range 500 {
		f.enqueue(s.task("quiet", 1))
	}
	require.Less(t, f.running, 100, "a third tenant finds a free slot")
	f.enqueue(s.task("third", 1))
	require.Equal(t, 1, f.stats()["third"].Running)
}

// TestScheduler_SlotsBecomeEven: the slots that a busy tenant gives back go to the tenant that has fewer.
func TestScheduler_SlotsBecomeEven(t *testing.T) {
	t.Parallel()
	f, s := newScheduler(90, 1<<20, 0), make(startedTasks, 1000)
	for _, tenant := range []string{"first", "second"} {
		for range 2000 {
			f.enqueue(s.task(tenant, 1))
		}
	}
	var calls []*task
	for range 1000 { // calls end in the order in which they began
		for len(calls) < f.running {
			calls = append(calls, <-s)
		}
		f.release(calls[0], Ack())
		calls = calls[1:]
	}
	first, second := f.stats()["first"].Running, f.stats()["second"].Running
	require.InDelta(t, first, second, 2)
	require.Greater(t, first, 30)
}

func TestScheduler_OneSlot(t *testing.T) {
	t.Parallel()
	f, s := newScheduler(1, 1, 0), make(startedTasks, 10)
	f.enqueue(s.task("a", 1000))
	f.enqueue(s.task("b", 1000))
	f.release(s.count(t, f, 1)[0], Ack())
	require.Equal(t, "b", s.count(t, f, 1)[0].tenant, "an event larger than the memory is handled alone")
}

func TestScheduler_BytesOfRunningCalls(t *testing.T) {
	t.Parallel()
	f, s := newScheduler(100, 1000, 0), make(startedTasks, 100)
	for range 20 {
		f.enqueue(s.task("large", 100))
	}
	require.Equal(t, 8, f.stats()["large"].Running, "four fifths of the memory")
	f.enqueue(s.task("small", 100))
	require.Equal(t, 1, f.stats()["small"].Running)
	require.LessOrEqual(t, f.used, int64(1000))
	for _, tenant := range []string{"a", "b", "c"} {
		f.enqueue(s.task(tenant, 100))
	}
	require.Equal(t, int64(1000), f.used, "the first event of a tenant waits for memory as well")
}

// TestScheduler_OverloadReducesSlots: while calls time out a tenant gets fewer slots, when they succeed it gets more.
func TestScheduler_OverloadReducesSlots(t *testing.T) {
	t.Parallel()
	f, s := newScheduler(128, 1<<20, 0), make(startedTasks, 10_000)
	for range 5000 {
		f.enqueue(s.task("acme", 1))
	}
	overloaded := Overloaded("timeout", errors.New("too late"))
	for n := range 80 {
		f.tenants["acme"].window = time.Now()
		if n%overloadMin == overloadMin-1 {
			f.tenants["acme"].window = time.Time{} // the window is over
		}
		f.release(<-s, overloaded)
	}
	const floor = 128 / floorShare
	require.Equal(t, floor, f.stats()["acme"].Limit)
	for range 100 {
		f.tenants["acme"].window = time.Time{}
		f.release(<-s, Retry("busy", nil))
	}
	require.Equal(t, floor, f.stats()["acme"].Limit, "a retry for another reason does not count")
	for range 3000 {
		f.release(<-s, Ack())
	}
	require.Greater(t, f.stats()["acme"].Limit, 60)
}

// TestScheduler_OnlyStuckConversations: the few running conversations fail, which does not limit the others of their
// tenant.
func TestScheduler_OnlyStuckConversations(t *testing.T) {
	t.Parallel()
	f, s := newScheduler(100, 1<<20, 0), make(startedTasks, 10)
	for range 100 {
		f.enqueue(s.task("acme", 1))
		f.tenants["acme"].window = time.Time{}
		f.release(<-s, Overloaded("timeout", errors.New("too late")))
	}
	f.enqueue(s.task("acme", 1))
	require.Equal(t, 100, f.stats()["acme"].Limit)
	f.release(<-s, Ack())
}

// TestScheduler_OneStuckConversation: calls that fail now and then among many that succeed do not reduce the slots.
func TestScheduler_OneStuckConversation(t *testing.T) {
	t.Parallel()
	f, s := newScheduler(100, 1<<20, 0), make(startedTasks, 10_000)
	for range 2000 {
		f.enqueue(s.task("acme", 1))
	}
	for n := range 1000 {
		o := Ack()
		if n%10 == 9 {
			o = Overloaded("timeout", errors.New("too late"))
			f.tenants["acme"].window = time.Time{}
		}
		f.release(<-s, o)
	}
	require.Equal(t, 100, f.stats()["acme"].Limit)
}

// TestScheduler_SlowCallsReduceSlots: calls that succeed slowly reduce the slots of their tenant, once for each queue that
// they may have waited in.
func TestScheduler_SlowCallsReduceSlots(t *testing.T) {
	t.Parallel()
	f, s := newScheduler(128, 1<<20, 2*time.Second), make(startedTasks, 10_000)
	for range 5000 {
		f.enqueue(s.task("acme", 1))
	}
	round := func(o Outcome, took time.Duration) int {
		for n := range overloadMin {
			f.tenants["acme"].window = time.Now()
			if n == overloadMin-1 {
				f.tenants["acme"].window = time.Time{} // the window is over
			}
			o.ended = time.Now()
			o.began = o.ended.Add(-took)
			f.release(<-s, o)
		}
		return f.stats()["acme"].Limit
	}
	require.Equal(t, 128, round(Ack(), 2*time.Second), "an endpoint may make a call as long as that")
	require.Equal(t, 128, round(Retry("busy", nil), 3*time.Second), "a retry for another reason does not count")
	running := f.stats()["acme"].Running
	require.Equal(t, running/2, round(Ack(), 3*time.Second))
	require.Equal(t, running/2, round(Ack(), 3*time.Second), "those began before the limit was reduced")
	f.tenants["acme"].reduced = time.Time{}
	require.Less(t, round(Ack(), 3*time.Second), running/2)
	for range 3000 {
		f.release(<-s, Ack())
	}
	require.Greater(t, f.stats()["acme"].Limit, 60)
}

// TestScheduler_SlowCallsOfOne: the slow calls of a tenant leave the slots of another as they are.
func TestScheduler_SlowCallsOfOne(t *testing.T) {
	t.Parallel()
	f, s := newScheduler(128, 1<<20, 2*time.Second), make(startedTasks, 10_000)
	for range 1000 {
		f.enqueue(s.task("busy", 1))
	}
	f.enqueue(s.task("quiet", 1))
	quiet := <-s
	for quiet.tenant != "quiet" {
		f.tenants["busy"].window = time.Time{}
		o := Ack()
		o.began, o.ended = time.Now().Add(-time.Minute), time.Now()
		f.release(quiet, o)
		quiet = <-s
	}
	require.Equal(t, 128, f.stats()["quiet"].Limit)
	f.release(quiet, Ack())
}
