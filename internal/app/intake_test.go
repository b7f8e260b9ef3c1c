package app

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/rollout"
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
