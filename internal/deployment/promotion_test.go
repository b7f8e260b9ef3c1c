package deployment

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPromotion(t *testing.T) {
	t.Parallel()
	early, late := time.Unix(1000, 0), time.Unix(2000, 0)
	for name, c := range map[string]struct {
		info description
		want reason
	}{
		"not seen by the server yet": {description{}, reasonNone},
		"first of the deployment":    {description{Versions: []version{{BuildID: "v1.1.0", Created: late}}}, reasonFirst},
		"current already": {
			description{Current: "v1.1.0", Versions: []version{{BuildID: "v1.1.0"}}}, reasonNone,
		},
		"newer by semantic version, although seen first": {description{Current: "v1.0.9", Versions: []version{
			{BuildID: "v1.1.0", Created: early}, {BuildID: "v1.0.9", Created: late},
		}}, reasonNewer},
		"older by semantic version, although seen last": {description{Current: "1.10.0", Versions: []version{
			{BuildID: "v1.1.0", Created: late}, {BuildID: "1.10.0", Created: early},
		}}, reasonNone},
		"newer by first poll": {description{Current: "dev+1", Versions: []version{
			{BuildID: "v1.1.0", Created: late}, {BuildID: "dev+1", Created: early},
		}}, reasonNewer},
		"older by first poll": {description{Current: "dev+1", Versions: []version{
			{BuildID: "v1.1.0", Created: early}, {BuildID: "dev+1", Created: late},
		}}, reasonNone},
		"rolled back by an operator": {description{Current: "v1.0.9", Versions: []version{
			{BuildID: "v1.1.0", Created: late, Lasted: late}, {BuildID: "v1.0.9", Created: early},
		}}, reasonNone},
		"the current version was deleted": {
			description{Current: "v2.0.0", Versions: []version{{BuildID: "v1.1.0"}}}, reasonNewer,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, promotion(c.info, "v1.1.0"))
		})
	}
}

// scriptedServer is a deployment server whose answers a test sets.
type scriptedServer struct {
	mu       sync.Mutex
	info     description
	polls    time.Time
	err      error
	promoted []string
	forced   []bool
}

func (s *scriptedServer) describe(context.Context) (description, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.info, []byte("token"), s.err
}

func (s *scriptedServer) promote(_ context.Context, build string, _ []byte, force bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.promoted, s.forced, s.info.Current = append(s.promoted, build), append(s.forced, force), build
	return nil
}

func (s *scriptedServer) lastPoll(context.Context, string, string) (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.polls, s.err
}

// set changes the answers.
func (s *scriptedServer) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// promotions returns the builds that were made current, and whether each was forced.
func (s *scriptedServer) promotions() (builds []string, forced []bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.promoted, s.forced
}

func requirePromoted(t *testing.T, s *scriptedServer, build string, forced bool) {
	t.Helper()
	builds, force := s.promotions()
	require.Equal(t, []string{build}, builds)
	require.Equal(t, []bool{forced}, force)
}

func requireNotPromoted(t *testing.T, s *scriptedServer) {
	t.Helper()
	builds, _ := s.promotions()
	require.Empty(t, builds)
}

// rolledBack is a deployment whose current version is older than the promoter's, which was current before.
func rolledBack() *scriptedServer {
	return &scriptedServer{info: description{Current: "old", Versions: []version{
		{BuildID: "old", Created: time.Unix(1000, 0)},
		{BuildID: "new", Created: time.Unix(2000, 0), Lasted: time.Unix(2000, 0)},
	}}}
}

func startPromoter(t *testing.T, server *scriptedServer) (decided chan struct{}) {
	t.Helper()
	r := &promoter{buildID: "new", server: server, log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	decided = make(chan struct{})
	go func() {
		defer close(done)
		r.run(ctx, decided)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return decided
}

func TestPromoter_CurrentVersionWithoutPollers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := rolledBack()
		<-startPromoter(t, server)
		time.Sleep(noPollersFor - lookInterval)
		requireNotPromoted(t, server) // a server that has just restarted lists no pollers
		time.Sleep(2 * lookInterval)
		requirePromoted(t, server, "new", true) // the queues of a version without workers do not count
	})
}

func TestPromoter_CurrentVersionStoppedPolling(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := rolledBack()
		server.polls = time.Unix(1, 0) // by another clock
		<-startPromoter(t, server)
		for range 5 { // a poll a minute: its workers run
			time.Sleep(time.Minute)
			server.set(func() { server.polls = server.polls.Add(time.Minute) })
			requireNotPromoted(t, server)
		}
		time.Sleep(pollMax + 2*lookInterval)
		requirePromoted(t, server, "new", true)
	})
}

func TestPromoter_ServerUnreachable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := rolledBack()
		server.err = errors.New("unavailable")
		decided := startPromoter(t, server)
		time.Sleep(10 * time.Minute)
		requireNotPromoted(t, server)
		server.set(func() { server.err, server.info.Current = nil, "" })
		<-decided
		requirePromoted(t, server, "new", false)
	})
}

func TestOptions_Validate(t *testing.T) {
	t.Parallel()
	good := Options{Name: "hookturn", BuildID: "dev+0123.modified", Promote: PromoteAuto}
	require.NoError(t, good.Validate())
	require.NoError(t, Options{}.Validate(), "an unversioned worker")
	for want, change := range map[string]func(*Options){
		"--deployment-name":    func(d *Options) { d.Name = "a.b" },
		"--build-id":           func(d *Options) { d.BuildID = "__x" },
		"up to 128":            func(d *Options) { d.BuildID = string(make([]byte, 200)) },
		"--deployment-promote": func(d *Options) { d.Promote = "maybe" },
	} {
		bad := good
		change(&bad)
		require.ErrorContains(t, bad.Validate(), want)
	}
}
