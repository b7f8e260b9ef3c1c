package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/internal/chaos"
)

func chaosCommand() *cobra.Command {
	var f frame
	var addr string
	cmd := &cobra.Command{
		Use:   "chaos",
		Short: "Serve an endpoint that goes wrong on the wire in every way that endpoints do, to try clients against it",
		Long: "Serve an endpoint that goes wrong on the wire in every way that endpoints do, to try clients against it: " +
			"resets, answers that never end or end early, answers of one byte at a time, compressed bombs, odd values of " +
			"Retry-After. Each path is a behaviour; the command prints their addresses and serves until it is interrupted. It also " +
			"ends connections " +
			"itself after 40 s",
		Example: `  starter chaos --addr 127.0.0.1:8099`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := chaos.Start(addr)
			if err != nil {
				return err
			}
			var urls []string
			for _, path := range chaos.Paths() {
				urls = append(urls, s.URL()+path)
			}
			if f.output == formatJSON {
				err = printJSON(cmd.OutOrStdout(), map[string]any{"urls": urls})
			} else {
				for _, url := range urls {
					fmt.Fprintln(cmd.OutOrStdout(), url)
				}
			}
			if err == nil {
				<-cmd.Context().Done()
			}
			if stopped := s.Stop(context.WithoutCancel(cmd.Context())); err == nil {
				err = stopped
			}
			return err
		},
	}
	f.offline(cmd)
	cmd.Flags().StringVar(&addr, "addr", "127.0.0.1:8099", "host:port to listen on; port 0: any free one")
	return cmd
}
