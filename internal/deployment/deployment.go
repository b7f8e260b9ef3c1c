// Package deployment is about Temporal's Worker Deployments: how a version of the workers becomes the current one, by itself
// or by an operator.
package deployment

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/retry"
	"github.com/hookturn/hookturn/internal/step"
)

// Options are the Worker Deployment that a worker is a version of. Temporal sends workflow tasks to the current version of
// a deployment only, so that a roll-out or a roll-back is one switch for all conversations.
type Options struct {
	Name    string // "" = the worker is unversioned
	BuildID string
	Promote Promote
}

// DefaultName is the name of the deployment when the operator sets none.
const DefaultName = "hookturn"

// Promote defines how a version of the worker becomes the current one.
type Promote string

// The ways to promote a version.
const (
	PromoteAuto   Promote = "auto"   // the worker itself, by the rules of promotion
	PromoteManual Promote = "manual" // the operator, with "starter deployments promote"
)

const buildIDMax = 128 // characters

// validName is stricter than the server, which does not allow "." and ":".
var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

var validBuildID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]*$`)

// Validate returns all problems of the options, each with the flag and the variable that set it.
func (d Options) Validate() error {
	if d.Name == "" {
		return nil
	}
	var problems []error
	if !validName.MatchString(d.Name) {
		problems = append(problems, errors.New("invalid deployment name in --deployment-name or HOOKTURN_DEPLOYMENT_NAME: "+
			"expected up to 64 letters, digits, - and _"))
	}
	if len(d.BuildID) > buildIDMax || !validBuildID.MatchString(d.BuildID) {
		problems = append(problems, fmt.Errorf("invalid build id in --build-id or HOOKTURN_BUILD_ID: "+
			"expected up to %d letters, digits and the characters . _ + -", buildIDMax))
	}
	if d.Promote != PromoteAuto && d.Promote != PromoteManual {
		problems = append(problems, errors.New("invalid value of --deployment-promote or HOOKTURN_DEPLOYMENT_PROMOTE: "+
			"expected auto or manual"))
	}
	return errors.Join(problems...)
}

// Worker returns the options of the SDK's worker. Every conversation moves to the current version with its next
// workflow task: conversations stay open for days, and an old version must be able to stop earlier.
func (d Options) Worker() worker.DeploymentOptions {
	if d.Name == "" {
		return worker.DeploymentOptions{}
	}
	return worker.DeploymentOptions{
		UseVersioning:             true,
		Version:                   worker.WorkerDeploymentVersion{DeploymentName: d.Name, BuildID: d.BuildID},
		DefaultVersioningBehavior: workflow.VersioningBehaviorAutoUpgrade,
	}
}

const (
	// firstLook bounds how long the start of a worker waits until its deployment has a current version.
	firstLook = 20 * time.Second
	// lookInterval is how often a worker checks whether to promote its version.
	lookInterval = 5 * time.Second
)

// Follow lets the worker promote itself until stop is called. It returns when the deployment has a current version, so that
// a ready worker receives tasks; when that takes too long, it continues in the background.
func (d Options) Follow(ctx context.Context, c client.Client, namespace string, log *slog.Logger) (stop func(), err error) {
	if d.Name == "" {
		return func() {}, nil
	}
	log = log.With("deployment", d.Name, "build_id", d.BuildID)
	if d.Promote == PromoteManual {
		log.InfoContext(ctx, "worker version waits for its promotion unless it is the current one",
			"hint", "run \"starter deployments promote --build-id "+d.BuildID+"\"")
		return func() {}, nil
	}
	r := &promoter{buildID: d.BuildID, server: server{client: c, namespace: namespace, name: d.Name}, log: log}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done, decided := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		r.run(running, decided)
	}()
	stop = func() { cancel(); <-done }
	timeout := time.NewTimer(firstLook)
	defer timeout.Stop()
	select {
	case <-decided:
	case <-timeout.C:
		log.WarnContext(ctx, "worker deployment has no current version yet, will retry",
			"hint", "check that the Temporal server supports Worker Deployments, or set --deployment-name= for an unversioned worker")
	case <-ctx.Done():
		stop()
		return nil, ctx.Err()
	}
	return stop, nil
}

// deployments is the part of Temporal's API that promotions use. A server is one.
type deployments interface {
	describe(ctx context.Context) (d description, token []byte, err error)
	promote(ctx context.Context, build string, token []byte, force bool) error
	lastPoll(ctx context.Context, queue, build string) (time.Time, error)
}

// promoter promotes the version of its worker to the current one by the rules of promotion.
type promoter struct {
	buildID string
	server  deployments
	log     *slog.Logger
	watched string    // the version whose workers are observed
	polled  time.Time // when, by the server's clock, one of them last began a poll
	since   time.Time // when, by this worker's clock, that was first seen
}

// run looks until ctx ends, and closes decided when the deployment has a current version.
func (r *promoter) run(ctx context.Context, decided chan struct{}) {
	backOff := retry.Backoff(50*time.Millisecond, lookInterval)
	open := true
	for {
		wait := lookInterval
		current, err := r.look(ctx)
		switch {
		case err != nil || current == "":
			wait = backOff.NextBackOff()
			if err != nil && wait >= lookInterval/2 && ctx.Err() == nil {
				r.log.WarnContext(ctx, "promoting the worker version failed, will retry", "retry_in", wait, "error", err)
			}
		default:
			backOff.Reset()
			if open {
				close(decided)
				open = false
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// look promotes the worker's version if it is to be the current one, and returns the build id of the current version.
func (r *promoter) look(ctx context.Context) (current string, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookInterval)
	defer cancel()
	info, token, err := r.server.describe(ctx)
	if err != nil {
		return "", err
	}
	mine := r.buildID
	reason := promotion(info, mine)
	if reason == reasonNone && info.Current != "" && info.Current != mine && r.deserted(ctx, info.Current) {
		reason = reasonDeserted
	}
	if reason == reasonNone {
		return info.Current, nil
	}
	if err := r.server.promote(ctx, mine, token, reason == reasonDeserted); err != nil {
		return info.Current, err
	}
	r.log.InfoContext(ctx, "worker version promoted", "previous", info.Current, "reason", string(reason))
	return mine, nil
}

// deserted reports whether the workers of the current version are gone: the server lists none, or none of them has
// begun a poll for longer than a poll lasts. Only this worker's clock is read.
func (r *promoter) deserted(ctx context.Context, current string) bool {
	polled, err := r.server.lastPoll(ctx, step.QueueMain, current)
	now := time.Now()
	if err != nil || r.watched != current || !r.polled.Equal(polled) {
		r.watched, r.polled, r.since = current, polled, now
		return false
	}
	if polled.IsZero() {
		return now.Sub(r.since) >= noPollersFor
	}
	return now.Sub(r.since) >= pollMax
}
