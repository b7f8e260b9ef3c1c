package cli

import (
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/internal/conformance"
	"github.com/hookturn/hookturn/internal/dialects"
	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/secret"
	"github.com/hookturn/hookturn/internal/signature"
)

// checkTool is the command check.
type checkTool struct {
	frame

	dialect, secret, step string
	schemes               []string
	attempt               time.Duration
}

func checkCommand() *cobra.Command {
	var c checkTool
	names := dialects.New(nil).Names()
	cmd := &cobra.Command{
		Use:   "check URL",
		Short: "Call an endpoint as hookturn does, rightly and wrongly, and report whether it is a careful receiver",
		Long: "Call an endpoint as hookturn does, rightly and wrongly, and report whether it is a careful receiver: " +
			"one that serves valid, repeated, slow, large and unusual requests, and rejects those that are not signed by " +
			"the secret or were signed long ago. Exit status 4 when a check fails, 5 when no request gets an answer. " +
			"Requests are sent as a worker sends them: without a proxy, without compression, without following redirects, " +
			"and without an address to call back. " +
			"The endpoint does the work of about ten requests of the user hookturn-check",
		Example: `  starter check http://127.0.0.1:8090/orders --dialect haptik \
    --secret whsec_aG9va3R1cm4gZXhhbXBsZSBzZWNyZXQsIGZvciB0cmlhbHM=`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd, args[0]) },
	}
	c.offline(cmd)
	f := cmd.Flags()
	f.StringVar(&c.dialect, "dialect", "plain", "dialect of the endpoint: "+strings.Join(names, ", "))
	f.StringVar(&c.secret, "secret", "", "signing secret; empty: requests are not signed")
	f.StringSliceVar(&c.schemes, "scheme", nil,
		"signature schemes: hub-sha1, hub-sha256, standard (default: those of the dialect)")
	f.StringVar(&c.step, "step", "CHECK", "step that requests name")
	f.DurationVar(&c.attempt, "timeout", 15*time.Second, "timeout of one request")
	completes(cmd, "dialect", names...)
	completes(cmd, "scheme", schemeNames()...)
	return cmd
}

func (c *checkTool) run(cmd *cobra.Command, address string) error {
	target, err := url.Parse(address)
	if err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" {
		return problem(kindUsage, "invalid URL: expected an absolute http or https URL")
	}
	d, err := dialects.New(nil).Get(c.dialect)
	if err != nil {
		return problem(kindUsage, "invalid --dialect: %w", err)
	}
	schemes, key, err := signing(c.schemes, c.secret)
	if err != nil {
		return err
	}
	out, err := clientFor(address)
	if err != nil {
		return problem(kindUsage, "%s", fault.Of(err).Message)
	}
	defer out.Close()
	report, err := conformance.Run(cmd.Context(), conformance.Options{
		URL: address, Dialect: d, Secret: key, Schemes: schemes, Step: c.step, HTTP: out, Timeout: c.attempt,
	})
	if err != nil {
		return err
	}
	if err := c.print(cmd, report, func(out io.Writer) error { return printReport(out, report) }); err != nil {
		return err
	}
	switch {
	case report.Unreachable:
		return printed(kindUnreachable)
	case report.Failed > 0:
		return printed(kindInvalid)
	}
	return nil
}

// clientFor returns the HTTP client of a worker that is allowed to reach the host of a URL, wherever it is.
func clientFor(address string) (*egress.Client, error) {
	entry, err := egress.EntryOf(address)
	if err != nil {
		return nil, err
	}
	return egress.New(egress.Options{Allow: []string{entry}, UserAgent: "hookturn-check"})
}

// signing reads the flags --scheme and --secret.
func signing(names []string, text string) (schemes []signature.Scheme, key secret.Value, err error) {
	for _, name := range names {
		scheme, err := signature.Parse(name)
		if err != nil {
			return nil, key, problem(kindUsage, "invalid --scheme: %w", err)
		}
		schemes = append(schemes, scheme)
	}
	if text != "" {
		if key, err = secret.Parse(text); err != nil {
			return nil, key, problem(kindUsage, "invalid --secret: %w", err)
		}
	}
	return schemes, key, nil
}

func printReport(out io.Writer, r conformance.Report) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, c := range r.Checks {
		status := "-"
		if c.Status != 0 {
			status = fmt.Sprint(c.Status)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d ms\t%s\n", c.Result, line(c.Name), status, c.Millis, line(c.Detail))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "%d of %d checks failed\n", r.Failed, len(r.Checks))
	return err
}
