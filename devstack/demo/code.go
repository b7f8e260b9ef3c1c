package demo

import (
	"context"
	"fmt"

	"github.com/hookturn/hookturn/schemas"
)

// code returns the scenes with scripts. On a machine without a sandbox, it returns one that names what is missing.
func (d *demo) code() []scene {
	if d.stack.NoCode != nil {
		return []scene{{"This machine cannot run them yet", func(context.Context) error {
			fmt.Fprintf(d.out, "  %v\n  On Debian: apt-get install bubblewrap python3 python3-requests ca-certificates\n",
				d.stack.NoCode)
			return nil
		}}}
	}
	return []scene{
		{"A script calls the shop's service through the egress proxy and answers", d.lookup},
		{"A script reports that a one-time password is wrong", d.wrongPassword},
		{"A script raises an exception: the user reads the bot's text, the builder the reason", d.exception},
	}
}

func (d *demo) lookup(ctx context.Context) error {
	return d.step(ctx, "assistant", "c-20", "ORDER_LOOKUP", map[string]any{"entities": product("speaker")},
		schemas.OutcomeSuccess)
}

func (d *demo) wrongPassword(ctx context.Context) error {
	return d.step(ctx, "assistant", "c-20", "VERIFY_OTP", map[string]any{"entities": entity("otp", "12")},
		schemas.OutcomeFailure)
}

func (d *demo) exception(ctx context.Context) error {
	return d.step(ctx, "assistant", "c-20", "DELIVERY_DATE", map[string]any{"entities": entity("ordered_on", "some day")},
		schemas.OutcomeBotBreak)
}
