package activities_test

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"

	"github.com/hookturn/hookturn/internal/step"
)

// listener receives every heartbeat of an activity.
type listener struct {
	interceptor.WorkerInterceptorBase

	heard   func(context.Context, step.Progress)
	attempt int32         // of the activity, as the server counts; 0 = as the test environment has it
	ago     time.Duration // how long ago the activity was scheduled, more than the test environment has it
	behind  time.Duration // how far the server's clock is behind this machine's
}

func (l *listener) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor,
) interceptor.ActivityInboundInterceptor {
	in := &inbound{listener: l}
	in.Next = next
	return in
}

type inbound struct {
	interceptor.ActivityInboundInterceptorBase

	listener *listener
}

func (i *inbound) Init(next interceptor.ActivityOutboundInterceptor) error {
	out := &outbound{listener: i.listener}
	out.Next = next
	return i.Next.Init(out)
}

type outbound struct {
	interceptor.ActivityOutboundInterceptorBase

	listener *listener
}

func (o *outbound) GetInfo(ctx context.Context) activity.Info {
	info := o.Next.GetInfo(ctx)
	if o.listener.attempt > 0 {
		info.Attempt = o.listener.attempt
	}
	info.ScheduledTime = info.ScheduledTime.Add(-o.listener.ago - o.listener.behind)
	info.StartedTime = info.StartedTime.Add(-o.listener.behind)
	return info
}

func (o *outbound) RecordHeartbeat(ctx context.Context, details ...any) {
	if p, ok := details[0].(step.Progress); ok && o.listener.heard != nil {
		o.listener.heard(ctx, p)
	}
	o.Next.RecordHeartbeat(ctx, details...)
}

// heartbeat stores a heartbeat, also one that fails.
func (b *bundle) heartbeat(ctx context.Context, _ []byte, details ...any) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	p, _ := details[0].(step.Progress)
	b.beats = append(b.beats, p)
	if b.beat != nil {
		return b.beat(len(b.beats))
	}
	return nil
}
