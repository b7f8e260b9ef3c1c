package sandbox

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkWarm is a run that finds an interpreter waiting, as most do. Its script does next to nothing, so that what
// is measured is what a sandbox adds: the median is the metric p50-ms, for the wait for a warm interpreter is part of
// ns/op.
func BenchmarkWarm(b *testing.B) {
	s := newSandbox(b)
	var took []time.Duration
	for b.Loop() {
		require.Eventually(b, func() bool { return len(s.warm) == cap(s.warm) }, time.Minute, time.Millisecond)
		began := time.Now()
		if _, f := s.Run(b.Context(), job("import json, urllib.request, requests\ndef main(e, c): return json.loads(e['body'])")); f != nil {
			b.Fatal(f)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// BenchmarkSustained runs one after another on every slot: runs a second is what a worker sustains.
func BenchmarkSustained(b *testing.B) {
	s := newSandbox(b)
	b.SetParallelism(4)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, f := s.Run(b.Context(), job("import json, urllib.request, requests\ndef main(e, c): return json.loads(e['body'])")); f != nil {
				b.Error(f)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "runs/s")
}

// BenchmarkStart is the start of a zygote with its modules: what a worker's first code step would wait for.
func BenchmarkStart(b *testing.B) {
	o := Options{}.withDefaults()
	require.NoError(b, o.find())
	for b.Loop() {
		z, err := startZygote(b.Context(), o, Users{First: DefaultUsers.First, Count: 4})
		require.NoError(b, err)
		c, err := z.ask(place{user: 1}, "", nil)
		require.NoError(b, err)
		require.NoError(b, c.awaitReady(b.Context()))
		c.close()
		z.kill()
		<-z.exited
	}
}
