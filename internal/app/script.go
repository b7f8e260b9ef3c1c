package app

import (
	"context"

	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/sandbox"
)

// RunScript runs one script in a separate sandbox, like a code step.
func RunScript(ctx context.Context, cfg Config, j sandbox.Job) (sandbox.Result, *fault.Fault, error) {
	cfg = cfg.withDefaults()
	out, err := egress.New(egressOptions(cfg))
	if err != nil {
		return sandbox.Result{}, nil, err
	}
	defer out.Close()
	o, err := SandboxOptions(cfg, out)
	if err != nil {
		return sandbox.Result{}, nil, err
	}
	o.Warm, o.Concurrency = 1, 1
	box, err := sandbox.New(ctx, o)
	if err != nil {
		return sandbox.Result{}, nil, err
	}
	defer box.Close()
	r, f := box.Run(ctx, j)
	return r, f, nil
}
