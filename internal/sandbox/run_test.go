package sandbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

func TestRun_InvalidScript(t *testing.T) {
	s := newSandbox(t)
	for name, c := range map[string]struct {
		script string
		kind   fault.Kind
		says   string
	}{
		"no main":                {"x = 1", fault.ScriptNoMain, "does not have a function main"},
		"main is not a function": {"main = 1", fault.ScriptNoMain, "does not have a function main"},
		"main takes nothing":     {"def main(): pass", fault.ScriptNoMain, "too many positional arguments"},
		"main takes more":        {"def main(a, b, c): pass", fault.ScriptNoMain, "missing a required argument"},
		"syntax":                 {"def main(event, context)\n    pass", fault.ScriptSyntax, "SyntaxError: expected ':'"},
		"indentation":            {"def main(e, c):\npass", fault.ScriptSyntax, "IndentationError"},
		"NUL":                    {"def main(e, c): pass\x00", fault.ScriptSyntax, "null bytes"},
		"a nest":                 {strings.Repeat("(", 1000) + strings.Repeat(")", 1000), fault.ScriptSyntax, "parenthes"},
		"raises at once":         {"raise ValueError('no')", fault.ScriptException, "ValueError: no"},
		"raises":                 {"def main(e, c): return 1 / 0", fault.ScriptException, "ZeroDivisionError: division by zero"},
		"too long":               {strings.Repeat("#", ScriptMax+1), fault.ScriptSyntax, "at most 131072"},
		"no JSON":                {"def main(e, c): return object()", fault.ScriptBadResponse, "not JSON serializable"},
		"not a number":           {"def main(e, c): return float('inf')", fault.ScriptBadResponse, "not JSON compliant"},
	} {
		t.Run(name, func(t *testing.T) {
			_, f := s.Run(t.Context(), job(c.script))
			require.NotNil(t, f)
			require.Equal(t, c.kind, f.Kind, f.Message)
			require.Contains(t, f.Message, c.says)
		})
	}
}

func TestRun_Traceback(t *testing.T) {
	s := newSandbox(t)
	r, f := s.Run(t.Context(), job("def price(x):\n    return x['price']\n\ndef main(e, c):\n    print('before')\n    return price({})\n"))
	require.Equal(t, fault.ScriptException, f.Kind)
	require.Equal(t, "KeyError: 'price'", f.Message)
	require.Contains(t, r.Log, "before\nTraceback (most recent call last):\n  File \"main.py\", line 6, in main\n    return price({})")
	require.Contains(t, r.Log, "line 2, in price")
	require.NotContains(t, r.Log, "zygote.py")
	require.True(t, r.Sent)
}

func TestRun_OneScriptPerInterpreter(t *testing.T) {
	s := newSandbox(t)
	const script = `
import builtins, os
seen = getattr(builtins, "seen", 0) + len(os.listdir("/tmp"))
builtins.seen = seen + 1
open("/tmp/left", "w").write("x")
def main(e, c): return seen
`
	for range 8 {
		r, f := s.Run(t.Context(), job(script))
		require.Nil(t, f, r.Log)
		require.Equal(t, "0", string(r.Value))
	}
}

func TestRun_Concurrent(t *testing.T) {
	s := newSandbox(t, func(o *Options) { o.Concurrency = 8 })
	var group sync.WaitGroup
	faults := make(chan *fault.Fault, 40)
	for i := range 40 {
		group.Go(func() {
			r, f := s.Run(context.Background(), job(fmt.Sprintf("import time\ndef main(e, c):\n    time.sleep(0.05)\n    return %d", i)))
			if f == nil && string(r.Value) != fmt.Sprint(i) {
				f = fault.New(fault.Internal, "%s instead of %d", r.Value, i)
			}
			faults <- f
		})
	}
	group.Wait()
	close(faults)
	for f := range faults {
		require.Nil(t, f)
	}
}

func TestRun_OneTenantHasHalfOfTheSlots(t *testing.T) {
	s := newSandbox(t, func(o *Options) { o.Concurrency = 2 })
	slow := job("import time\ndef main(e, c): time.sleep(60)")
	ctx, cancel := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	busy.Go(func() { _, _ = s.Run(ctx, slow) })
	require.Eventually(t, func() bool { return len(s.slots.all) == 1 }, time.Minute, 5*time.Millisecond)
	hurried, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	_, f := s.Run(hurried, slow)
	require.Equal(t, fault.SandboxUnavailable, f.Kind)
	require.Contains(t, f.Message, "all 1 slots of the tenant are in use")
	other := job("def main(e, c): return 1")
	other.Tenant = "zeta"
	_, f = s.Run(t.Context(), other)
	require.Nil(t, f)
	cancel()
	busy.Wait()
	require.Eventually(t, func() bool {
		s.slots.mu.Lock()
		defer s.slots.mu.Unlock()
		return len(s.slots.tenants) == 0
	}, time.Minute, time.Millisecond)
}

func TestRun_Stopped(t *testing.T) {
	g := newGathering(t)
	s := newSandbox(t, g.dial)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { <-g.arrived; cancel() }()
	r, f := s.Run(ctx, job(hoarding+hoarded))
	require.Equal(t, fault.OutcomeUnknown, f.Kind)
	require.True(t, r.Sent)
}

// TestZygote_Replaced kills the zygote between runs: the next one starts another.
func TestZygote_Replaced(t *testing.T) {
	s := newSandbox(t)
	for range 3 {
		r, f := s.Run(t.Context(), job("def main(e, c): return 1"))
		require.Nil(t, f, r.Log)
		s.mu.Lock()
		if z := s.zygote; z != nil {
			require.NoError(t, z.cmd.Process.Kill())
			<-z.exited
		}
		s.mu.Unlock()
	}
	s.mu.Lock()
	if s.zygote != nil {
		s.zygote.began = time.Now().Add(-2 * zygoteMaxAge)
	}
	s.mu.Unlock()
	r, f := s.Run(t.Context(), job("def main(e, c): return 1"))
	require.Nil(t, f, r.Log)
}

func TestNew_MissingPrograms(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := New(t.Context(), Options{Python: "/nowhere/python3"})
	require.ErrorContains(t, err, "apt-get install bubblewrap")
	require.ErrorContains(t, err, "apt-get install python3 python3-requests")
	began := time.Now()
	_, err = New(t.Context(), Options{Bubblewrap: "/bin/false"})
	require.ErrorContains(t, err, "code steps are not available")
	require.Less(t, time.Since(began), startTimeout, "its end is noticed")
	require.Contains(t, advice("bwrap: setting up uid map: Permission denied"), "apparmor_restrict_unprivileged_userns")
}

func TestNew_NoIsolation(t *testing.T) {
	wrapper := filepath.Join(t.TempDir(), "bwrap") // one that lets scripts read a file they should not
	genuine, err := exec.LookPath("bwrap")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(wrapper, fmt.Appendf(nil, "#!/bin/sh\nexec %s --perms 0755 --dir /etc --ro-bind /etc/passwd /etc/passwd \"$@\"\n", genuine), 0o755))
	require.NoError(t, os.Chmod(filepath.Dir(wrapper), 0o755))
	require.NoError(t, os.Chmod(filepath.Dir(filepath.Dir(wrapper)), 0o755))
	_, err = New(t.Context(), Options{Bubblewrap: wrapper})
	require.ErrorContains(t, err, "a script could read /etc/passwd")
}

// TestZygote_EndsWithTheWorker runs scripts in a process of its own, kills that, and counts who is left.
func TestZygote_EndsWithTheWorker(t *testing.T) {
	if os.Getenv("HOOKTURN_SANDBOX_CHILD") != "" {
		s := newSandbox(t)
		for range 3 {
			go func() {
				_, _ = s.Run(context.Background(), job("import time\ndef main(e, c): time.sleep(60)"))
			}()
		}
		require.Eventually(t, func() bool { return len(s.slots.all) == 3 }, time.Minute, 100*time.Millisecond)
		_, _ = os.Stdout.WriteString("sandboxed\n")
		select {}
	}
	child := exec.Command(os.Args[0], "-test.run=^TestZygote_EndsWithTheWorker$", "-test.v")
	child.Env = append(os.Environ(), "HOOKTURN_SANDBOX_CHILD=1")
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	defer func() { _ = child.Process.Kill() }()
	var said bytes.Buffer
	buffer := make([]byte, 1024)
	for !strings.Contains(said.String(), "sandboxed") {
		n, err := out.Read(buffer)
		require.NoError(t, err, said.String())
		said.Write(buffer[:n])
	}
	require.Eventually(t, func() bool { return len(descendants(t, child.Process.Pid)) >= 8 }, time.Minute, 50*time.Millisecond)
	family := descendants(t, child.Process.Pid)
	require.NoError(t, child.Process.Kill())
	_ = child.Wait()
	require.Eventually(t, func() bool {
		for _, pid := range family {
			if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil {
				return false
			}
		}
		return true
	}, time.Minute, 20*time.Millisecond)
}

// descendants are the processes below one.
func descendants(t *testing.T, root int) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	require.NoError(t, err)
	parents := map[int]int{}
	for _, e := range entries {
		var pid, parent int
		if _, err := fmt.Sscan(e.Name(), &pid); err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		var state string
		if _, err := fmt.Sscan(rest, &state, &parent); err == nil {
			parents[pid] = parent
		}
	}
	var all []int
	for pid := range parents {
		for p := pid; p > 1; p = parents[p] {
			if parents[p] == root {
				all = append(all, pid)
				break
			}
		}
	}
	return all
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"kind":"ok","value":1,"log":""}`))
	f.Add([]byte(`{"kind":"exception","message":"\ud800"}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, text []byte) {
		frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
		a, err := readAnswer(bytes.NewReader(frame))
		if err != nil {
			return
		}
		require.LessOrEqual(t, len(a.Value), ResultMax)
		if fault := a.fault(); fault != nil {
			require.True(t, fault.Kind.Known())
		}
	})
}

// TestSlots_TooManyWait rejects a tenant's script at once when so many of it wait already, and no other tenant's.
func TestSlots_TooManyWait(t *testing.T) {
	t.Parallel()
	s := newSlots(2, unhurried)
	var leave []func()
	for range waitingPerSlot {
		slots, done := s.share("acme")
		require.NotNil(t, slots)
		leave = append(leave, done)
	}
	_, f := s.enter(t.Context(), "acme")
	require.NotNil(t, f)
	require.Equal(t, fault.SandboxUnavailable, f.Kind)
	require.Contains(t, f.Message, "too many scripts of the tenant wait")
	out, f := s.enter(t.Context(), "zeta")
	require.Nil(t, f)
	out()
	for _, done := range leave {
		done()
	}
	require.True(t, s.alone("acme"))
	out, f = s.enter(t.Context(), "acme")
	require.Nil(t, f)
	require.True(t, s.alone("acme"))
	_, done := s.share("acme")
	require.False(t, s.alone("acme"), "a second script is there")
	done()
	out()
	require.Empty(t, s.tenants)
}

// TestSlots_FloodOfATenant: what waits for its tenant's share takes no slot from the others.
func TestSlots_FloodOfATenant(t *testing.T) {
	t.Parallel()
	s := newSlots(4, unhurried)
	for range 10 {
		slots, _ := s.share("acme")
		require.NotNil(t, slots)
	}
	require.False(t, s.free("acme"))
	require.True(t, s.free("zeta"))
	for range 2 {
		_, f := s.enter(t.Context(), "zeta")
		require.Nil(t, f)
	}
	require.False(t, s.free("zeta"))
	require.False(t, s.free("third"))
}

// TestSandbox_AsyncLeavesHalf: scripts for which no caller waits leave half of the slots, and of their tenant's slots, to
// the others.
func TestSandbox_AsyncLeavesHalf(t *testing.T) {
	t.Parallel()
	s := &Sandbox{options: Options{wait: time.Millisecond}, slots: newSlots(8, unhurried), async: newSlots(4, unhurried)}
	job := func(tenant string) Job { return Job{BotID: schemas.BotID{Tenant: tenant}, Async: true} }
	var leave []func()
	for range 2 {
		require.True(t, s.Free(job("acme")))
		out, f := s.enter(t.Context(), job("acme"))
		require.Nil(t, f)
		leave = append(leave, out)
	}
	require.False(t, s.Free(job("acme")))
	_, f := s.enter(t.Context(), job("acme"))
	require.Equal(t, fault.SandboxUnavailable, f.Kind)
	require.True(t, s.Free(Job{BotID: schemas.BotID{Tenant: "acme"}}), "a caller waits")
	for range 2 {
		out, f := s.enter(t.Context(), job("zeta"))
		require.Nil(t, f)
		leave = append(leave, out)
	}
	require.False(t, s.Free(job("third")))
	require.InDelta(t, 1, s.Used(), 0, "another worker would run more of them")
	for _, out := range leave {
		out()
	}
	require.True(t, s.Free(job("third")))
	require.Zero(t, s.Used())
}

// TestSandbox_Reserve: a job takes the slot that it has, and what no job has taken is released.
func TestSandbox_Reserve(t *testing.T) {
	t.Parallel()
	s := &Sandbox{options: Options{wait: time.Millisecond}, slots: newSlots(4, unhurried), async: newSlots(2, unhurried)}
	j := Job{BotID: schemas.BotID{Tenant: "acme"}, Async: true}
	var f *fault.Fault
	j.Slot, f = s.Reserve(t.Context(), j)
	require.Nil(t, f)
	require.False(t, s.Free(j), "the tenant has one")
	leave, f := s.enter(t.Context(), j)
	require.Nil(t, f)
	j.Slot.Release()
	require.False(t, s.Free(j), "the job uses it")
	leave()
	require.True(t, s.Free(j))

	j.Slot, f = s.Reserve(t.Context(), j)
	require.Nil(t, f, "a slot that was taken is not used again")
	j.Slot.Release()
	j.Slot.Release()
	require.True(t, s.Free(j))
	require.Zero(t, s.Used())
}

// TestWarm_LastHalf leaves the last half of the interpreters that wait to tenants without another script.
func TestWarm_LastHalf(t *testing.T) {
	s := newSandbox(t, func(o *Options) { o.Warm = 4 })
	s.stop()
	s.filled.Wait()
	for len(s.warm) > 2 {
		(<-s.warm).close()
	}
	for len(s.warm) < 2 {
		c, err := s.spawn(t.Context(), "")
		require.NoError(t, err)
		s.warm <- c
	}
	c, err := s.take(t.Context(), false, "")
	require.NoError(t, err)
	c.close()
	require.Len(t, s.warm, 2, "a tenant that has another script gets a fresh one")
	c, err = s.take(t.Context(), true, "")
	require.NoError(t, err)
	c.close()
	require.Len(t, s.warm, 1)
}
