package dispatch

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
)

// TestOverloaded: what is about one conversation does not slow down the tenant's others.
func TestOverloaded(t *testing.T) {
	t.Parallel()
	exhausted := func(cause enumspb.ResourceExhaustedCause) error {
		return fmt.Errorf("hand over: %w", serviceerror.NewResourceExhausted(cause, "no"))
	}
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"unavailable":        {serviceerror.NewUnavailable("away"), true},
		"no answer in time":  {context.DeadlineExceeded, true},
		"requests a second":  {exhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_RPS_LIMIT), true},
		"server overloaded":  {exhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_SYSTEM_OVERLOADED), true},
		"unfinished Updates": {exhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_CONCURRENT_LIMIT), false},
		"busy workflow":      {exhausted(enumspb.RESOURCE_EXHAUSTED_CAUSE_BUSY_WORKFLOW), false},
		"continue as new":    {errBusy, false},
		"unanswered events":  {errLimit, false},
		"anything else":      {errors.New("surprise"), false},
	} {
		require.Equal(t, c.want, Overloaded(c.err), name)
	}
}
