package deployment

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
)

// busyServer rejects the first requests of each kind with an error, then answers.
type busyServer struct {
	*scriptedServer

	reason                         error
	describing, promoting, polling int // how many requests it still rejects
}

func (s *busyServer) rejects(left *int) error {
	if *left <= 0 {
		return nil
	}
	*left--
	return fmt.Errorf("describe worker deployment hookturn: %w", s.reason)
}

func (s *busyServer) describe(ctx context.Context) (description, []byte, error) {
	if err := s.rejects(&s.describing); err != nil {
		return description{}, nil, err
	}
	return s.scriptedServer.describe(ctx)
}

func (s *busyServer) promote(ctx context.Context, build string, token []byte, force bool) error {
	if err := s.rejects(&s.promoting); err != nil {
		return err
	}
	return s.scriptedServer.promote(ctx, build, token, force)
}

func (s *busyServer) lastPoll(ctx context.Context, queue, build string) (time.Time, error) {
	if err := s.rejects(&s.polling); err != nil {
		return time.Time{}, err
	}
	return s.scriptedServer.lastPoll(ctx, queue, build)
}

// tooMany is what Temporal returns while the workflow behind a deployment is busy.
func tooMany(cause enumspb.ResourceExhaustedCause) error {
	return &serviceerror.ResourceExhausted{Cause: cause, Message: "too many requests issued to Worker Deployment 'hookturn'"}
}

func TestOperator_BusyServerIsAskedAgain(t *testing.T) {
	t.Parallel()
	for name, reason := range map[string]error{
		"busy deployment": tooMany(enumspb.RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW),
		"server restarts": serviceerror.NewUnavailable("shutting down"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := &busyServer{scriptedServer: rolledBack(), reason: reason, describing: 3, promoting: 3, polling: 3}
				d := &Operator{server: server, name: "hookturn", timeout: time.Minute}
				list, err := d.List(t.Context())
				require.NoError(t, err)
				require.Len(t, list, 2)
				server.describing = 3
				previous, err := d.Promote(t.Context(), "new", false)
				require.NoError(t, err)
				require.Equal(t, "old", previous)
				require.Equal(t, []string{"new"}, server.promoted)
			})
		})
	}
}

func TestOperator_ServerBusyForTooLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reason := tooMany(enumspb.RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW)
		server := &busyServer{scriptedServer: rolledBack(), reason: reason, describing: 1 << 20}
		_, err := (&Operator{server: server, name: "hookturn", timeout: 5 * time.Second}).List(t.Context())
		require.ErrorIs(t, err, reason, "the error names the reason, not the end of the time")
	})
}

func TestOperator_FinalErrorEndsTheTool(t *testing.T) {
	t.Parallel()
	for name, reason := range map[string]error{
		"limit of versions": tooMany(enumspb.RESOURCE_EXHAUSTED_CAUSE_WORKER_DEPLOYMENT_LIMITS),
		"not permitted":     serviceerror.NewPermissionDenied("no", ""),
		"not of the server": errors.New("broken"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := &busyServer{scriptedServer: rolledBack(), reason: reason, describing: 1}
			d := &Operator{server: server, name: "hookturn", timeout: time.Minute}
			_, err := d.List(t.Context())
			require.ErrorIs(t, err, reason)
			server.promoting = 1
			_, err = d.Promote(t.Context(), "new", false)
			require.ErrorIs(t, err, reason)
			require.Empty(t, server.promoted)
		})
	}
}

func TestPromoter_BusyDeployment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := rolledBack()
		server.err, server.info.Current = tooMany(enumspb.RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW), ""
		decided := startPromoter(t, server)
		<-time.After(time.Second)
		requireNotPromoted(t, server)
		server.set(func() { server.err = nil })
		<-decided
		requirePromoted(t, server, "new", false)
	})
}
