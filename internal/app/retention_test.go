package app

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/store"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/schemas"
)

// TestRetention_EachBotKeepsItsOwn lets three hours pass for bots of the same name in two tenants, of which one keeps replies
// for two hours.
func TestRetention_EachBotKeepsItsOwn(t *testing.T) {
	t.Parallel()
	js, streams := startStreams(t)
	dir := t.TempDir()
	for tenant, text := range map[string]string{
		"acme": "retention: {replies: 2h, files: 4h}\n", "bcme": "", "ccme": "retention: {files: 2h}\n",
	} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, tenant), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, tenant, "shop.yaml"), []byte("bot: shop\ntenant: "+tenant+"\n"+text), 0o600))
	}
	set, err := bot.Load(dir, bot.Options{Dialects: dialects.Specs(), FreeSecrets: true})
	require.NoError(t, err)
	left := func() (replies, files map[string]int) {
		replies, files = map[string]int{}, map[string]int{}
		require.NoError(t, bus.ReadReplies(t.Context(), streams, bus.Tail{}, func(r bus.StoredReply) (bool, error) {
			replies[strings.Split(r.Subject, ".")[2]]++
			return true, nil
		}))
		all, err := streams.Files().List(t.Context())
		require.NoError(t, err)
		for _, file := range all {
			files[strings.Split(file.Name, "/")[0]]++
		}
		return replies, files
	}
	for _, tenant := range []string{"acme", "bcme", "ccme"} {
		of := schemas.BotID{Tenant: tenant, Bot: "shop"}
		reply, err := schemas.NewReply(of.WithConversation("c"), "e", schemas.TypeStepReplied, time.Now(), schemas.StepReplied{EventID: "e"})
		require.NoError(t, err)
		require.NoError(t, bus.NewPublisher(js).PublishReply(t.Context(), of, reply))
		_, err = store.NewFiles(streams).Put(t.Context(), of, store.File{Name: "f"}, strings.NewReader("text"))
		require.NoError(t, err)
	}
	reads := []int{1, 2}
	metrics := telemetry.NewMetrics()
	s := &retention{
		bots: func() *bot.Set { return set }, reads: func() []int { return reads }, kept: store.NewRetention(streams),
		metrics: metrics, log: slog.New(slog.DiscardHandler),
	}
	s.sweep(t.Context(), time.Now().Add(3*time.Hour))
	replies, files := left()
	require.Equal(t, map[string]int{"acme": 1, "bcme": 1, "ccme": 1}, replies, "another starter reads partition 0")
	require.Equal(t, replies, files)
	reads = []int{3, 0}
	s.sweep(t.Context(), time.Now().Add(time.Hour))
	replies, _ = left()
	require.Len(t, replies, 3, "nothing is too old yet")
	s.sweep(t.Context(), time.Now().Add(3*time.Hour))
	replies, files = left()
	require.Equal(t, map[string]int{"bcme": 1, "ccme": 1}, replies)
	require.Equal(t, map[string]int{"acme": 1, "bcme": 1}, files)
	gathered, err := metrics.Registry().Gather()
	require.NoError(t, err)
	deleted := map[string]float64{}
	for _, family := range gathered {
		if family.GetName() == "hookturn_retention_deleted_total" {
			for _, m := range family.GetMetric() {
				deleted[m.GetLabel()[2].GetValue()+" "+m.GetLabel()[1].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	require.Equal(t, map[string]float64{"acme replies": 1, "ccme files": 1}, deleted)
}
