package recall

import (
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/workflow"

	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

// observer looks at the Updates that a workflow takes and at the activities that it asks for. It changes neither.
type observer struct {
	interceptor.WorkerInterceptorBase

	run *run
}

// InterceptWorkflow implements interceptor.WorkerInterceptor.
func (o *observer) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor,
) interceptor.WorkflowInboundInterceptor {
	in := &inbound{run: o.run}
	in.Next = next
	return in
}

type inbound struct {
	interceptor.WorkflowInboundInterceptorBase

	run *run
}

// Init implements interceptor.WorkflowInboundInterceptor.
func (i *inbound) Init(next interceptor.WorkflowOutboundInterceptor) error {
	out := &outbound{run: i.run}
	out.Next = next
	return i.Next.Init(out)
}

// turnOf is the key of the id of the event in whose turn something is done.
type turnOf struct{}

// ExecuteWorkflow notes the event of a Step, which has it as its input.
func (i *inbound) ExecuteWorkflow(ctx workflow.Context, in *interceptor.ExecuteWorkflowInput) (any, error) {
	if len(in.Args) == 1 {
		if request, ok := in.Args[0].(step.Request); ok && request.Script == nil {
			return i.turn(ctx, request.Delivery.Event.ID, func(ctx workflow.Context) (any, error) {
				return i.Next.ExecuteWorkflow(ctx, in)
			})
		}
	}
	return i.Next.ExecuteWorkflow(ctx, in)
}

// ExecuteUpdate notes the event of an Update.
func (i *inbound) ExecuteUpdate(ctx workflow.Context, in *interceptor.UpdateInput) (any, error) {
	if len(in.Args) == 1 {
		if d, ok := in.Args[0].(step.Delivery); ok {
			return i.turn(ctx, d.Event.ID, func(ctx workflow.Context) (any, error) { return i.Next.ExecuteUpdate(ctx, in) })
		}
	}
	return i.Next.ExecuteUpdate(ctx, in)
}

func (i *inbound) turn(ctx workflow.Context, event string, take func(workflow.Context) (any, error)) (any, error) {
	i.run.events[event] = false
	result, err := take(workflow.WithValue(ctx, turnOf{}, event))
	i.run.events[event] = true
	return result, err
}

type outbound struct {
	interceptor.WorkflowOutboundInterceptorBase

	run *run
}

// ExecuteActivity implements interceptor.WorkflowOutboundInterceptor.
func (o *outbound) ExecuteActivity(ctx workflow.Context, name string, args ...any) workflow.Future {
	return o.observe(ctx, o.Next.ExecuteActivity(ctx, name, args...), args)
}

// ExecuteLocalActivity implements interceptor.WorkflowOutboundInterceptor.
func (o *outbound) ExecuteLocalActivity(ctx workflow.Context, name string, args ...any) workflow.Future {
	return o.observe(ctx, o.Next.ExecuteLocalActivity(ctx, name, args...), args)
}

// observe notes what an activity publishes: one that is asked to, and one that has the answer and may publish the reply with
// it. Its result is read where the workflow reads it: another coroutine would come too late for a run's last step.
func (o *outbound) observe(ctx workflow.Context, f workflow.Future, args []any) workflow.Future {
	if len(args) != 1 {
		return f
	}
	event, _ := ctx.Value(turnOf{}).(string)
	switch in := args[0].(type) {
	case step.PublishInput:
		if in.Withheld {
			return f
		}
		note := o.run.add(event, in)
		return observed{f, func(result any) { o.adopted(event, note, in, result) }}
	case step.WebhookInput:
		if !in.Reply { // a selector takes no future but Temporal's own
			return f
		}
		note := o.run.add(event, step.PublishInput{})
		return observed{f, func(result any) { o.answered(ctx, event, note, in, result) }}
	}
	return f
}

// adopted replaces a reply by the one that was stored before under its id, which the engine has read, and notes the
// conversation.closed that went out with it.
func (o *outbound) adopted(event string, note *published, in step.PublishInput, result any) {
	p, _ := result.(*step.Published)
	if p == nil {
		return
	}
	if p.Stored != nil {
		if data, err := schemas.Marshal(p.Stored); err == nil {
			note.reply.Data = data
		}
	}
	if p.Closed && in.Closing != nil {
		o.run.add(event, step.PublishInput{BotID: in.BotID, Reply: *in.Closing})
	}
}

// answered notes the reply that an activity has published together with its answer, by the rule by which it made it.
func (o *outbound) answered(ctx workflow.Context, event string, note *published, in step.WebhookInput, result any) {
	r, _ := result.(*step.WebhookResult)
	if r == nil || r.ReplyID == "" {
		return
	}
	run := workflow.GetInfo(ctx).WorkflowExecution
	data := in.Replied(*r, nil)
	data.Workflow = schemas.WorkflowRef{ID: run.ID, RunID: run.RunID}
	to := step.Address{ConversationKey: in.Plan.WithConversation(in.Event.Subject), Event: in.Event}
	publish, err := to.Reply(schemas.TypeStepReplied, workflow.Now(ctx), data)
	if err != nil || publish.Withheld {
		return
	}
	note.key, note.reply = to.ConversationKey, publish.Reply
	if closing := in.Closing(data, publish.Reply.Time); r.Closed != "" && closing != nil {
		o.run.add(event, step.PublishInput{BotID: in.Plan.BotID, Reply: *closing})
	}
}

// observed is a future whose result is looked at when the workflow reads it.
type observed struct {
	workflow.Future

	look func(result any)
}

// Get implements workflow.Future.
func (o observed) Get(ctx workflow.Context, result any) error {
	err := o.Future.Get(ctx, result)
	if err == nil {
		o.look(result)
	}
	return err
}
