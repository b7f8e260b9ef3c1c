package app

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/rollout"
	"github.com/hookturn/hookturn/schemas"
)

// TestNewIntake_OneDispatcher: the dispatcher of new events has runs recovered by the recovery that offers their events to it.
func TestNewIntake_OneDispatcher(t *testing.T) {
	t.Parallel()
	js, streams := startStreams(t)
	files := &rollout.Files{Name: "one"}
	in, ended := newIntake(Config{}, &base{js: js, streams: streams}, nil, files)
	require.Same(t, ended, in.Dispatcher.Recovery)
	require.Same(t, in.Dispatcher, ended.Dispatcher)
	require.Same(t, in.Answers, ended.Answers)
	require.Same(t, in.Answers, in.Dispatcher.Answers)
	require.Same(t, files, in.Rollout)
}

// TestLettersOfRuns_TooLarge: an event that no message can hold, by the contract or by the server, is a fault for which
// recovery does not wait.
func TestLettersOfRuns_TooLarge(t *testing.T) {
	t.Parallel()
	js, streams := startStreams(t)
	letters := lettersOfRuns{letters: bus.NewDeadLetters(js, streams)}
	of := schemas.BotID{Tenant: "default", Bot: "shop"}.WithConversation("c-42")
	write := func(size int) error {
		e := schemas.Event{ID: "e1", Subject: "c-42", Data: schemas.EventData{Reason: strings.Repeat("a", size)}}
		return letters.Write(t.Context(), of, e, fault.New(fault.Internal, "no run takes it"))
	}
	requireTooLarge := func(err error) {
		t.Helper()
		f, is := errors.AsType[*fault.Fault](err)
		require.True(t, is, "%v", err)
		require.Equal(t, fault.TooLarge, f.Kind)
	}
	requireTooLarge(write(schemas.MessageMax))
	require.NoError(t, write(4<<10))
	stream, err := js.Stream(t.Context(), schemas.StreamDeadLetters)
	require.NoError(t, err)
	info, err := stream.Info(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, info.State.Msgs)
	info.Config.MaxMsgSize = 4 << 10
	_, err = js.UpdateStream(t.Context(), info.Config)
	require.NoError(t, err)
	requireTooLarge(write(4 << 10))
}
