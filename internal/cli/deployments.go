package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/internal/app"
)

func deploymentsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deployments",
		Short: "List the versions of the worker, and roll out or back",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(listDeploymentsCommand(), promoteCommand())
	return cmd
}

// deploymentTool is what the commands on a deployment have in common.
type deploymentTool struct {
	settings
	name    string
	timeout time.Duration
}

func (d *deploymentTool) flags(cmd *cobra.Command) {
	d.logging(cmd.Flags())
	cmd.Flags().StringVar(&d.name, "deployment-name", app.DeploymentDefault, "Worker Deployment of the workers")
	cmd.Flags().DurationVar(&d.timeout, "connect-timeout", 5*time.Second, "how long to wait for Temporal")
}

// open runs a command's work on a connection to Temporal.
func (d *deploymentTool) open(cmd *cobra.Command, work func(context.Context, *app.Deployments) error) error {
	if err := d.everything(cmd); err != nil {
		return err
	}
	connecting, cancel := context.WithTimeout(cmd.Context(), d.timeout)
	defer cancel()
	deployments, err := app.OpenDeployments(connecting, d.cfg, d.name, d.timeout)
	if err != nil {
		return err
	}
	defer deployments.Close()
	return work(cmd.Context(), deployments)
}

func listDeploymentsCommand() *cobra.Command {
	var d deploymentTool
	var output string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the versions of the worker, newest first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return errors.New("invalid --output: expected text or json")
			}
			return d.open(cmd, func(ctx context.Context, deployments *app.Deployments) error {
				list, err := deployments.List(ctx)
				if err != nil {
					return err
				}
				if output == "json" {
					return json.NewEncoder(cmd.OutOrStdout()).Encode(list)
				}
				return printVersions(cmd.OutOrStdout(), list)
			})
		},
	}
	d.flags(cmd)
	cmd.Flags().StringVar(&output, "output", "text", "text or json")
	return cmd
}

func printVersions(out io.Writer, list []app.DeploymentVersion) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "BUILD ID\tSTATE\tCREATED\tLAST CURRENT\tLAST POLL")
	for _, v := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", v.BuildID, v.State, moment(&v.Created), moment(v.Current), moment(v.LastPoll))
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
	var unversioned, force, dryRun bool
	cmd := &cobra.Command{
		Use:   "promote",
		Short: "Make a version of the worker the current one: all conversations move to it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (build == "") != unversioned {
				return errors.New("expected either --build-id or --unversioned")
			}
			return d.open(cmd, func(ctx context.Context, deployments *app.Deployments) error {
				if dryRun {
					_, err := fmt.Fprintf(cmd.OutOrStdout(), "would promote %s\n", named(build))
					return err
				}
				previous, err := deployments.Promote(ctx, build, force)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "current version is %s, was %s\n", named(build), named(previous))
				return err
			})
		},
	}
	d.flags(cmd)
	cmd.Flags().StringVar(&build, "build-id", "", "the version's build id")
	cmd.Flags().BoolVar(&unversioned, "unversioned", false, "hand the tasks to workers without a deployment")
	cmd.Flags().BoolVar(&force, "force", false, "promote a version that does not serve every task queue in use")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print what would be done")
	return cmd
}

func named(build string) string {
	if build == "" {
		return "(unversioned)"
	}
	return build
}
