package deployment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/api/deployment/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/transient"
)

// server sends the requests about one deployment to Temporal.
type server struct {
	client    client.Client
	namespace string
	name      string
}

// describe returns the deployment and a token that makes a promotion fail when the deployment changed meanwhile. A
// deployment that no worker has polled for is empty.
func (a server) describe(ctx context.Context) (description, []byte, error) {
	answer, err := a.client.WorkflowService().DescribeWorkerDeployment(ctx, &workflowservice.DescribeWorkerDeploymentRequest{
		Namespace: a.namespace, DeploymentName: a.name,
	})
	if _, missing := errors.AsType[*serviceerror.NotFound](err); missing {
		return description{}, nil, nil
	}
	if err != nil {
		return description{}, nil, fmt.Errorf("describe worker deployment %s: %w", a.name, err)
	}
	described := answer.GetWorkerDeploymentInfo()
	info := description{Current: described.GetRoutingConfig().GetCurrentDeploymentVersion().GetBuildId()}
	for _, v := range described.GetVersionSummaries() {
		one := version{
			BuildID: v.GetDeploymentVersion().GetBuildId(), Created: v.GetCreateTime().AsTime(), State: stateOf(v),
		}
		if at := v.GetLastCurrentTime(); at != nil {
			one.Lasted = at.AsTime()
		}
		info.Versions = append(info.Versions, one)
	}
	return info, answer.GetConflictToken(), nil
}

func stateOf(v *deployment.WorkerDeploymentInfo_WorkerDeploymentVersionSummary) string {
	switch v.GetStatus() {
	case enumspb.WORKER_DEPLOYMENT_VERSION_STATUS_CURRENT:
		return "current"
	case enumspb.WORKER_DEPLOYMENT_VERSION_STATUS_RAMPING:
		return "ramping"
	case enumspb.WORKER_DEPLOYMENT_VERSION_STATUS_DRAINING:
		return "draining"
	case enumspb.WORKER_DEPLOYMENT_VERSION_STATUS_DRAINED:
		return "drained"
	default:
		return "inactive"
	}
}

// promote promotes a version to the current one; "" assigns the tasks to unversioned workers. Without force, the server
// rejects a version that does not serve all task queues of the current one.
func (a server) promote(ctx context.Context, build string, token []byte, force bool) error {
	_, err := a.client.WorkerDeploymentClient().GetHandle(a.name).SetCurrentVersion(ctx,
		client.WorkerDeploymentSetCurrentVersionOptions{BuildID: build, ConflictToken: token, IgnoreMissingTaskQueues: force})
	if err != nil {
		return fmt.Errorf("make %q the current version of worker deployment %s: %w", build, a.name, err)
	}
	return nil
}

// lastPoll returns when a worker of a version last began to poll a task queue; the zero time when none did in the last
// minutes.
func (a server) lastPoll(ctx context.Context, queue, build string) (time.Time, error) {
	answer, err := a.client.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
		Namespace: a.namespace, TaskQueue: &taskqueuepb.TaskQueue{Name: queue},
		TaskQueueType: enumspb.TASK_QUEUE_TYPE_WORKFLOW,
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("describe task queue %s: %w", queue, err)
	}
	var last time.Time
	for _, poller := range answer.GetPollers() {
		o := poller.GetDeploymentOptions()
		if o.GetDeploymentName() != a.name || o.GetBuildId() != build {
			continue
		}
		if at := poller.GetLastAccessTime().AsTime(); at.After(last) {
			last = at
		}
	}
	return last, nil
}

// Version is one version of a deployment, for operators.
type Version struct {
	BuildID string `json:"build_id"`
	// State is current, ramping, draining, drained or inactive. A version that drains holds no conversation back: they
	// move to the current version with their next event.
	State   string     `json:"state"`
	Created time.Time  `json:"created"`
	Current *time.Time `json:"last_current,omitempty"`
	// LastPoll is when a worker of this version last began to poll; nil: the server lists none.
	LastPoll *time.Time `json:"last_poll,omitempty"`
}

// Operator is what an operator sees of one deployment and does with it.
type Operator struct {
	server  deployments
	name    string
	timeout time.Duration
}

// NewOperator returns a new Operator of a deployment. Each request is sent again for the timeout while the server is busy.
func NewOperator(c client.Client, namespace, name string, timeout time.Duration) *Operator {
	return &Operator{server: server{client: c, namespace: namespace, name: name}, name: name, timeout: timeout}
}

// CheckName returns an error for a name that a deployment cannot have.
func CheckName(name string) error {
	if !validName.MatchString(name) {
		return errors.New("invalid --deployment-name: expected up to 64 letters, digits, - and _")
	}
	return nil
}

func (d *Operator) describe(ctx context.Context) (info description, err error) {
	err = transient.Retry(ctx, d.timeout, func(ctx context.Context) (failed error) {
		info, _, failed = d.server.describe(ctx)
		return failed
	})
	return info, err
}

// List returns the versions, newest first.
func (d *Operator) List(ctx context.Context) ([]Version, error) {
	info, err := d.describe(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]Version, 0, len(info.Versions))
	for _, v := range info.Versions {
		shown := Version{BuildID: v.BuildID, State: v.State, Created: v.Created}
		if !v.Lasted.IsZero() {
			shown.Current = &v.Lasted
		}
		var polled time.Time
		err := transient.Retry(ctx, d.timeout, func(ctx context.Context) (failed error) {
			polled, failed = d.server.lastPoll(ctx, step.QueueMain, v.BuildID)
			return failed
		})
		if err != nil {
			return nil, err
		}
		if !polled.IsZero() {
			shown.LastPoll = &polled
		}
		list = append(list, shown)
	}
	slices.SortFunc(list, func(a, b Version) int { return b.Created.Compare(a.Created) })
	return list, nil
}

// ErrNoVersion reports that a deployment does not have a version.
var ErrNoVersion = errors.New("no such version of the worker")

// Find returns ErrNoVersion when the deployment does not have a version; "" stands for unversioned workers.
func (d *Operator) Find(ctx context.Context, build string) error {
	info, err := d.describe(ctx)
	if err != nil {
		return err
	}
	return d.has(info, build)
}

func (d *Operator) has(info description, build string) error {
	if _, known := info.version(build); build != "" && !known {
		return fmt.Errorf("worker deployment %s does not have version %q: start its workers first; "+
			"\"starter deployments list\" shows the versions: %w", d.name, build, ErrNoVersion)
	}
	return nil
}

// Promote promotes a version to the current one and returns the previous one; "" stands for unversioned workers. Without
// force, a version must have polled and must serve every task queue that is in use.
func (d *Operator) Promote(ctx context.Context, build string, force bool) (previous string, err error) {
	info, err := d.describe(ctx)
	if err != nil {
		return "", err
	}
	if err := d.has(info, build); err != nil {
		return "", err
	}
	return info.Current, transient.Retry(ctx, max(d.timeout, promoteTimeout), func(ctx context.Context) error {
		return d.ensure(ctx, build, force)
	})
}

// promoteTimeout bounds a promotion on a busy server.
const promoteTimeout = 2 * time.Minute

// ensure promotes a version unless it is the current one: an attempt whose response was lost may have succeeded.
func (d *Operator) ensure(ctx context.Context, build string, force bool) error {
	info, token, err := d.server.describe(ctx)
	if err != nil || info.Current == build {
		return err
	}
	return d.server.promote(ctx, build, token, force)
}
