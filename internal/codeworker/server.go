package codeworker

import (
	"context"
	"log/slog"
	"time"

	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/flight"
	"github.com/hookturn/hookturn/internal/lru"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/telemetry"
)

// Server is a code worker that handles the requests of clients. All fields are required.
type Server struct {
	Name   string // of this process, unique
	Claims Claims
	Runner Runner
	Peers  *Client // sends requests to the other code workers
	Log    *slog.Logger

	attempts flight.Group[step.ScriptAttempt]
	notBegun lru.Map[flight.Key, struct{}] // scripts that this process may have claimed, and did not begin
}

// Runner runs scripts.
type Runner interface {
	// Ready reports whether the script of a run would begin at once.
	Ready(run step.ScriptRun) bool
	// Run runs a script. An error means that the script did not begin.
	Run(ctx context.Context, run step.ScriptRun) (step.ScriptResult, error)
}

// answerWithin is how long a request waits for the end of a script.
const answerWithin = 2 * time.Second

// Handle answers a request: it begins the script unless a code worker has begun it or this one stops, and waits for its end,
// or it stops the script.
func (s *Server) Handle(ctx context.Context, q step.ScriptRequest) step.ScriptAttempt {
	ctx = telemetry.WithTrace(ctx, q.Run)
	attempt := s.attempts.Find(keyOf(q.Run))
	switch {
	case q.Stop:
		return s.stop(ctx, attempt, q.Run)
	case attempt == nil && !q.Run.Once && (tooLate(q.Run) || !s.Runner.Ready(q.Run)):
		return step.ScriptAttempt{NotBegun: true}
	case attempt == nil:
		if attempt = s.start(ctx, q.Run); attempt == nil {
			return step.ScriptAttempt{NotBegun: true}
		}
	}
	timer := time.NewTimer(answerWithin)
	defer timer.Stop()
	select {
	case <-attempt.Done():
		return attempt.Result()
	case <-timer.C:
	case <-ctx.Done():
	}
	return step.ScriptAttempt{Running: s.Name}
}

// tooLate reports whether a first attempt at a script comes so late that another one may have been made.
func tooLate(run step.ScriptRun) bool {
	return !run.Started.IsZero() && time.Since(run.Started) > firstAttemptsFor
}

// start starts the attempt at a script, or joins it; nil after Close.
func (s *Server) start(ctx context.Context, run step.ScriptRun) *flight.Flight[step.ScriptAttempt] {
	panicked := step.ScriptResult{Fault: fault.New(fault.Internal, "running the script panicked: see the worker's log")}
	return s.attempts.JoinOrStart(ctx, s.Log, keyOf(run), flight.Plan[step.ScriptAttempt]{
		Make: func(ctx context.Context, f *flight.Flight[step.ScriptAttempt]) step.ScriptAttempt {
			attempt, ended := s.runClaimed(ctx, run)
			if ended {
				f.Keep, f.Bytes = true, Size(attempt)
			}
			return attempt
		},
		Panicked: step.ScriptAttempt{ScriptResult: panicked},
	})
}

// keyOf returns the key of the attempt for a run, whichever worker requests it.
func keyOf(run step.ScriptRun) flight.Key {
	return flight.Key{Tenant: run.Plan.Tenant, Conversation: run.Plan.Bot, Event: run.ID, N: 1}
}

// stop stops the script of a run that was cancelled, or returns the name of the code worker that has begun it.
func (s *Server) stop(
	ctx context.Context, attempt *flight.Flight[step.ScriptAttempt], run step.ScriptRun,
) step.ScriptAttempt {
	if attempt != nil {
		attempt.Stop(egress.ErrCancelled)
		return step.ScriptAttempt{}
	}
	holder, _, err := claim(ctx, s.Claims, run, s.Name) // no code worker begins the script from here on
	if err != nil || holder == s.Name || holder == byActivity {
		return step.ScriptAttempt{}
	}
	return step.ScriptAttempt{Running: holder}
}

// Close lets no script begin from here on. Requests about those that have begun are answered.
func (s *Server) Close() { s.attempts.Close() }

// Drain waits until no script runs, after Close. When ctx ends first, it stops those that run.
func (s *Server) Drain(ctx context.Context) { s.attempts.Drain(ctx) }
