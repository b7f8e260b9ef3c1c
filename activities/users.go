package activities

import (
	"cmp"
	"context"
	"encoding/json"

	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/step"
)

// keepUserDetails merges the endpoint's update into the user's store, in the store's own order of changes. An update over
// the limit is refused and reported as the answer's problem; the messages are delivered all the same.
func (a *Activities) keepUserDetails(ctx context.Context, in step.WebhookInput, p step.Progress, answer dialect.Answer,
	result *step.WebhookResult,
) *fault.Fault {
	result.UserDetails = p.UserDetails
	if answer.UserDetailsUpdate == nil || in.User.ID == "" {
		return nil
	}
	d, err := a.Dialects.Get(in.Plan.Dialect)
	if err != nil {
		return fault.Of(err)
	}
	err = a.Users.Update(ctx, in.Plan.Tenant, in.User.ID, func(old json.RawMessage) (json.RawMessage, error) {
		merged, err := d.MergeUserDetails(old, answer.UserDetailsUpdate)
		result.UserDetails = merged
		return merged, err
	})
	if f := fault.Of(err); f != nil {
		if f.Kind == fault.TooLarge {
			result.Problem = cmp.Or(result.Problem, f)
			return nil
		}
		return f
	}
	return nil
}

func (a *Activities) readUserDetails(ctx context.Context, in step.WebhookInput, p *step.Progress) *fault.Fault {
	if p.Read || in.User.ID == "" {
		return nil
	}
	stored, err := a.Users.Get(ctx, in.Plan.Tenant, in.User.ID)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "the user's details cannot be read from NATS")
	}
	p.UserDetails, p.Read = stored, true
	return nil
}
