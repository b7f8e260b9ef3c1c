package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/retry"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/internal/telemetry"
	"github.com/hookturn/hookturn/internal/transient"
)

// connectTimeout bounds an attempt to connect to Temporal, and finding out why it failed.
const connectTimeout = 10 * time.Second

// dialTemporal connects to Temporal, trying again until ctx ends.
func dialTemporal(ctx context.Context, opts client.Options, l *slog.Logger, m *telemetry.Metrics) (client.Client, error) {
	logSDK(&opts, l)
	if opts.DataConverter == nil {
		opts.DataConverter = step.DataConverter()
	}
	if opts.ConnectionOptions.GrpcCompression == nil {
		// The SDK compresses by default. On a local network this has no benefit and costs a fifth of a worker's CPU.
		opts.ConnectionOptions.GrpcCompression = &client.GrpcCompressionNone{}
	}
	keepAlive(&opts.ConnectionOptions)
	fewerGoroutines(&opts)
	opts.ConnectionOptions.DialOptions = slices.Concat(windows(), opts.ConnectionOptions.DialOptions,
		[]grpc.DialOption{grpc.WithChainUnaryInterceptor(boundRequest, endAtUpdateLimit)})
	if m != nil {
		handler, err := sdkMetrics(m)
		if err != nil {
			return nil, err
		}
		opts.MetricsHandler = handler
	}
	var c client.Client
	connect := func() (err error) {
		attempt, cancel := context.WithTimeout(ctx, connectTimeout)
		defer cancel()
		c, err = client.DialContext(attempt, opts)
		return err
	}
	backOff := retry.Backoff(backoff.DefaultInitialInterval, 5*time.Second)
	var last error
	var hint string
	err := backoff.RetryNotify(connect, backoff.WithContext(backOff, ctx), func(err error, wait time.Duration) {
		probe, cancel := context.WithTimeout(ctx, connectTimeout)
		last, hint = err, reachHint(probe, opts)
		cancel()
		l.WarnContext(ctx, "connecting to Temporal failed, will retry", "address", opts.HostPort, "namespace", opts.Namespace,
			"retry_in", wait, "error", err, "hint", hint)
	})
	if errors.Is(err, context.DeadlineExceeded) && last != nil {
		err = fmt.Errorf("%w: %w: %s", natsclient.ErrUnreachable, last, hint)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to Temporal at %s: %w", opts.HostPort, err)
	}
	return c, nil
}

// OpenTemporal connects a tool to Temporal until ctx ends.
func OpenTemporal(ctx context.Context, cfg Config) (client.Client, error) {
	cfg = cfg.withDefaults()
	return dialTemporal(ctx, cfg.Temporal, cfg.Log, nil)
}

// keepAlive detects a dead connection within 20 s: polls take up to a minute, and would otherwise wait on it. Servers
// accept a ping every 10 s (frontend.keepAliveMinTime).
func keepAlive(o *client.ConnectionOptions) {
	if o.KeepAliveTime == 0 {
		o.KeepAliveTime = 15 * time.Second
	}
	if o.KeepAliveTimeout == 0 {
		o.KeepAliveTimeout = 5 * time.Second
	}
}

// fewerGoroutines lets the SDK visit the payloads of a message one after another. By default a goroutine visits each of
// them, for storage drivers that wait for a network; without a driver a visit returns at once (docs/benchmarks).
func fewerGoroutines(o *client.Options) {
	if len(o.ExternalStorage.Drivers) == 0 && o.ExternalStorage.Concurrency.MaxOperationsPerMessage == 0 {
		o.ExternalStorage.Concurrency.MaxOperationsPerMessage = 1
	}
}

// Flow control of the connection to Temporal, in bytes: as large as gRPC's estimator would make them on a distant network.
const (
	streamWindow     = 4 << 20 // the largest message
	connectionWindow = 16 << 20
)

// windows are fixed, so that the connection does not measure its bandwidth with a ping for nearly every message.
func windows() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithStaticStreamWindowSize(streamWindow), grpc.WithStaticConnWindowSize(connectionWindow)}
}

// requestTimeout bounds a request to Temporal that has no deadline. The SDK gives as much to most of its own.
const requestTimeout = 10 * time.Second

// boundRequest ends a request that has no deadline after requestTimeout. The SDK gives each of its own requests one, but not
// those that pass through it: one whose answer is lost would be waited for without end.
func boundRequest(
	ctx context.Context, method string, request, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker,
	opts ...grpc.CallOption,
) error {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, requestTimeout)
		defer cancel()
	}
	return invoke(ctx, method, request, reply, cc, opts...)
}

// searchAttributes are those of the contract, section 9.2.
func searchAttributes() map[string]enumspb.IndexedValueType {
	attributes := map[string]enumspb.IndexedValueType{step.AttributeFailures: enumspb.INDEXED_VALUE_TYPE_INT}
	for _, name := range []string{
		step.AttributeTenant, step.AttributeBot, step.AttributeConversation, step.AttributeUser, step.AttributeStep,
		step.AttributeOutcome,
	} {
		attributes[name] = enumspb.INDEXED_VALUE_TYPE_KEYWORD
	}
	return attributes
}

// createAttributes returns the command of the Temporal CLI that adds search attributes.
func createAttributes(namespace string, attributes map[string]enumspb.IndexedValueType) string {
	command := []string{"temporal operator search-attribute create --namespace", namespace}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		command = append(command, "--name", name, "--type", attributes[name].String())
	}
	return strings.Join(command, " ")
}

// missingAttributes returns the search attributes that a namespace lacks. Where listing them is not permitted, the result
// is empty, and the log has what to check.
func missingAttributes(
	ctx context.Context, c client.Client, namespace string, l *slog.Logger,
) (map[string]enumspb.IndexedValueType, error) {
	want := searchAttributes()
	var have *operatorservice.ListSearchAttributesResponse
	list := func() (err error) {
		have, err = c.OperatorService().ListSearchAttributes(ctx,
			&operatorservice.ListSearchAttributesRequest{Namespace: namespace})
		if code := serviceerror.ToStatus(err).Code(); code == codes.PermissionDenied || code == codes.Unimplemented {
			return backoff.Permanent(err)
		}
		return err
	}
	backOff := backoff.NewExponentialBackOff(backoff.WithMaxElapsedTime(time.Minute))
	err := backoff.Retry(list, backoff.WithContext(backOff, ctx))
	if code := serviceerror.ToStatus(err).Code(); code == codes.PermissionDenied || code == codes.Unimplemented {
		l.WarnContext(ctx, "listing search attributes not permitted", "namespace", namespace, "error", err,
			"hint", "check that an operator has run \"starter setup\", or: "+createAttributes(namespace, want))
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the search attributes of namespace %s: %w", namespace, err)
	}
	maps.DeleteFunc(want, func(name string, _ enumspb.IndexedValueType) bool {
		_, ok := have.GetCustomAttributes()[name]
		return ok
	})
	return want, nil
}

// ensureSearchAttributes registers the search attributes that are missing.
func ensureSearchAttributes(ctx context.Context, c client.Client, namespace string, l *slog.Logger) error {
	want, err := missingAttributes(ctx, c, namespace, l)
	if err != nil || len(want) == 0 {
		return err
	}
	err = transient.Retry(ctx, time.Minute, func(ctx context.Context) error {
		_, err := c.OperatorService().AddSearchAttributes(ctx,
			&operatorservice.AddSearchAttributesRequest{Namespace: namespace, SearchAttributes: want})
		return err
	})
	if err != nil {
		missing := strings.Join(slices.Sorted(maps.Keys(want)), ", ")
		return fmt.Errorf("namespace %s lacks the search attributes %s and they cannot be added: "+
			"run \"starter setup\" with an operator's rights, or \"%s\": %w", namespace, missing,
			createAttributes(namespace, want), err)
	}
	return nil
}
