package cli

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"github.com/hookturn/hookturn/internal/audit"
	"github.com/hookturn/hookturn/internal/deployment"
	"github.com/hookturn/hookturn/schemas"
)

func deploymentsCommand() *cobra.Command {
	cmd := group("deployments", "List the versions of the worker, and roll out or back")
	cmd.AddCommand(listDeploymentsCommand(), promoteCommand())
	return cmd
}

// deploymentTool is what the commands on a deployment have in common.
type deploymentTool struct {
	settings
	name string
}

func (d *deploymentTool) flags(cmd *cobra.Command) {
	d.connects(cmd)
	d.logging(cmd.Flags())
	cmd.Flags().StringVar(&d.name, "deployment-name", deployment.DefaultName, "Worker Deployment of the workers")
}

// open runs a command's work on a connection to Temporal.
func (d *deploymentTool) open(cmd *cobra.Command, work func(context.Context, *deployment.Operator) error) error {
	if err := d.everything(cmd); err != nil { // the name may be in the environment
		return err
	}
	if err := deployment.CheckName(d.name); err != nil {
		return problem(kindUsage, "%w", err)
	}
	return dialedTemporal(cmd, &d.settings, func(ctx context.Context, c client.Client) error {
		return work(ctx, deployment.NewOperator(c, d.cfg.Temporal.Namespace, d.name, d.timeout))
	})
}

func listDeploymentsCommand() *cobra.Command {
	var d deploymentTool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the versions of the worker, newest first",
		Example: `  starter deployments list --output json`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return d.open(cmd, func(ctx context.Context, deployments *deployment.Operator) error {
				list, err := deployments.List(ctx)
				if err != nil {
					return err
				}
				if len(list) == 0 {
					return problem(kindNotFound, "worker deployment %s has no versions", d.name).do("start a worker of it")
				}
				return d.print(cmd, list, func(out io.Writer) error { return printVersions(out, list) })
			})
		},
	}
	d.flags(cmd)
	return cmd
}

func printVersions(out io.Writer, list []deployment.Version) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "BUILD ID\tSTATE\tCREATED\tLAST CURRENT\tLAST POLL")
	for _, v := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", line(v.BuildID), v.State, moment(&v.Created), moment(v.Current), moment(v.LastPoll))
	}
	return w.Flush()
}

func moment(at *time.Time) string {
	if at == nil {
		return "-"
	}
	return at.UTC().Format(time.RFC3339)
}

func promoteCommand() *cobra.Command {
	var d deploymentTool
	var build string
	var unversioned, force bool
	cmd := &cobra.Command{
		Use: "promote",
		Example: `  starter deployments promote --build-id v1.2.0 --dry-run
  starter deployments promote --build-id v1.2.0 --yes`,
		Short: "Make a version of the worker the current one: all conversations move to it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (build == "") != unversioned {
				return problem(kindUsage, "expected either --build-id or --unversioned")
			}
			return d.open(cmd, func(ctx context.Context, deployments *deployment.Operator) error {
				if err := deployments.Find(ctx, build); err != nil {
					return err
				}
				if d.dryRun {
					return d.printLine(cmd, promoted{Promote: build}, "would promote %s", named(build))
				}
				if err := d.confirm(cmd, "promote %s in worker deployment %s", named(build), d.name); err != nil {
					return err
				}
				what := audit.Change{Action: schemas.AuditDeploymentPromote, Subject: named(build)}
				var previous string
				if err := d.auditedInTemporal(cmd, what, func(_ *audit.Operation, did *audit.Outcome) (err error) {
					previous, err = deployments.Promote(ctx, build, force)
					did.Objects = []string{"from " + named(previous), "to " + named(build)}
					return err
				}); err != nil {
					return err
				}
				return d.printLine(cmd, promoted{Promote: build, Previous: &previous, Done: true}, "current version is %s, was %s",
					named(build), named(previous))
			})
		},
	}
	d.flags(cmd)
	cmd.Flags().StringVar(&build, "build-id", "", "the version's build id")
	cmd.Flags().BoolVar(&unversioned, "unversioned", false, "hand the tasks to workers without a deployment")
	cmd.Flags().BoolVar(&force, "force", false, "promote a version that does not serve every task queue in use")
	d.changes(cmd)
	d.nats(cmd.Flags())
	d.actor(cmd.Flags())
	d.withoutAudit(cmd.Flags())
	return cmd
}

// promoted is the result of a promotion; "" stands for unversioned workers.
type promoted struct {
	Promote  string  `json:"promote"`
	Previous *string `json:"previous,omitempty"`
	Done     bool    `json:"done"`
}

func named(build string) string {
	if build == "" {
		return "(unversioned)"
	}
	return build
}
