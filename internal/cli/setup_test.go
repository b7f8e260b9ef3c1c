package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/cli"
	"github.com/hookturn/hookturn/schemas"
)

// attributes is a stand-in for Temporal that has search attributes.
type attributes struct {
	workflowservice.UnimplementedWorkflowServiceServer
	operatorservice.UnimplementedOperatorServiceServer

	mu  sync.Mutex
	has map[string]enumspb.IndexedValueType
}

func (*attributes) GetSystemInfo(
	context.Context, *workflowservice.GetSystemInfoRequest,
) (*workflowservice.GetSystemInfoResponse, error) {
	return &workflowservice.GetSystemInfoResponse{Capabilities: &workflowservice.GetSystemInfoResponse_Capabilities{}}, nil
}

func (a *attributes) ListSearchAttributes(
	context.Context, *operatorservice.ListSearchAttributesRequest,
) (*operatorservice.ListSearchAttributesResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return &operatorservice.ListSearchAttributesResponse{CustomAttributes: a.has}, nil
}

func (a *attributes) AddSearchAttributes(
	_ context.Context, r *operatorservice.AddSearchAttributesRequest,
) (*operatorservice.AddSearchAttributesResponse, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.has = r.GetSearchAttributes()
	return &operatorservice.AddSearchAttributesResponse{}, nil
}

// serveAttributes serves the stand-in. TEMPORAL_ADDRESS leads to it: Temporal's package reads the process's own environment.
func serveAttributes(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server, a, done := grpc.NewServer(), &attributes{}, make(chan error, 1)
	workflowservice.RegisterWorkflowServiceServer(server, a)
	operatorservice.RegisterOperatorServiceServer(server, a)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		require.NoError(t, <-done)
	})
	t.Setenv("TEMPORAL_ADDRESS", listener.Addr().String())
}

func (n nats) streamNames(t *testing.T) (names []string) {
	t.Helper()
	listed := n.js.StreamNames(testContext(t))
	for name := range listed.Name() {
		names = append(names, name)
	}
	require.NoError(t, listed.Err())
	return names
}

// TestSetup_PlansAndAsks: a dry run prints what would change; on a terminal the command prints it too, and asks.
func TestSetup_PlansAndAsks(t *testing.T) { //nolint:paralleltest // the environment is shared
	serveAttributes(t)
	n := startBareNATS(t)
	plan := succeed(t, &world{env: n.at(), terminal: true}, "setup", "--dry-run", "--replies-max-bytes", "16MiB")
	for _, want := range []string{
		"would create stream HOOKTURN_EVENTS: events that wait for a starter, max_bytes 268435456, replicas 1\n",
		"would create stream HOOKTURN_REPLIES: replies of 72 h; the oldest go first when it is full, max_bytes 16777216, replicas 1\n",
		"would create stream KV_HOOKTURN_KEYS: ", "would create consumer default of stream HOOKTURN_REPLIES\n",
		"would add search attribute HookturnBot (Keyword) to namespace default\n",
	} {
		require.Contains(t, plan, want)
	}
	changes := len(bus.Sizes()) + 2 + 7
	require.Len(t, lines(plan), changes)
	for _, answer := range []string{"", "n\n"} {
		w := &world{env: n.at(), terminal: true, in: answer}
		require.Equal(t, 4, w.run(testContext(t), cli.StarterCommand(), "setup", "--replies-max-bytes", "16MiB"))
		require.Contains(t, w.err.String(), fmt.Sprintf("%smake %d changes? [y/N] ", plan, changes))
	}
	require.Empty(t, n.streamNames(t), "nothing was done")

	w := &world{env: n.at(), terminal: true, in: "y\n"}
	require.Equal(t, "streams, buckets and search attributes are ready\n", succeed(t, w, "setup"))
	require.Len(t, n.streamNames(t), len(bus.Sizes()))

	w = &world{env: n.at(), terminal: true}
	succeed(t, w, "setup")
	require.NotContains(t, w.err.String(), "[y/N]", "there is nothing to ask")
	require.JSONEq(t, `{"ready":true}`, succeed(t, &world{env: n.at()}, "setup", "--dry-run", "--output", "json"))
}

// TestSetup_PlansChanges: what a dry run prints is what the command does, without a question where there is no terminal.
func TestSetup_PlansChanges(t *testing.T) { //nolint:paralleltest // the environment is shared
	serveAttributes(t)
	n := startBareNATS(t)
	succeed(t, &world{env: n.at()}, "setup")
	args := []string{"setup", "--partitions", "16", "--events-max-bytes", "64MiB", "--engines", "default,acme", "--output", "json"}
	var document struct {
		Ready   bool
		Changes []string
	}
	require.NoError(t, json.Unmarshal([]byte(succeed(t, &world{env: n.at()}, append(args, "--dry-run")...)), &document))
	require.False(t, document.Ready)
	require.Equal(t, []string{
		"change stream HOOKTURN_EVENTS: max_bytes 268435456 to 67108864",
		"change stream HOOKTURN_EVENTS: partitions 8 to 16",
		"create consumer acme of stream HOOKTURN_REPLIES", "create consumer acme of stream HOOKTURN_DEADLETTERS",
	}, document.Changes)
	succeed(t, &world{env: n.at()}, args...)
	require.JSONEq(t, `{"ready":true}`, succeed(t, &world{env: n.at()}, append(args, "--dry-run")...))
}

// TestSetup_DryRunFindsMistakes: what the command would reject fails the dry run as well, and nothing is changed.
func TestSetup_DryRunFindsMistakes(t *testing.T) { //nolint:paralleltest // the environment is shared
	serveAttributes(t)
	n := startBareNATS(t)
	_, err := n.js.CreateStream(testContext(t), jetstream.StreamConfig{
		Name: schemas.StreamReplies, Subjects: []string{schemas.SubjectReplies + ".>"}, Storage: jetstream.MemoryStorage,
	})
	require.NoError(t, err)
	said := fail(t, &world{env: n.at()}, "setup", "--dry-run")
	require.Contains(t, said, "stream HOOKTURN_REPLIES cannot be used: storage is memory")
	require.Contains(t, fail(t, &world{env: n.at()}, "setup", "--dry-run", "--partitions", "1000"), "partitions are 1000")
	require.Equal(t, []string{schemas.StreamReplies}, n.streamNames(t))

	full := startNATS(t)
	require.NoError(t, full.replied(testContext(t), schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c"), "e-1"))
	for want, args := range map[string][]string{
		"invalid tenant of an engine": {"--engines", "a.b"},
		"use at least":                {"--replies-max-bytes", "1KiB"},
	} {
		require.Contains(t, fail(t, &world{env: full.at()}, slices.Concat([]string{"setup", "--dry-run"}, args)...), want)
	}
	require.True(t, strings.HasPrefix(said, "starter: "), said)
}
