package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
)

func deadlettersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deadletters",
		Short: "List, show and replay events that could not be handled",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(listCommand(), showCommand(), replayCommand())
	return cmd
}

// withLetters runs a command's work on the dead letters.
func withLetters(cmd *cobra.Command, s *settings, work func(context.Context, *bus.DeadLetters) error) error {
	return connected(cmd, s, func(ctx context.Context, js bus.JetStream) error {
		streams, err := bus.Setup(ctx, js, bus.StreamOptions{})
		if err != nil {
			return err
		}
		return work(ctx, bus.NewDeadLetters(js, streams))
	})
}

func listCommand() *cobra.Command {
	var s settings
	var f bus.DeadLetterFilter
	var reason string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List dead letters, oldest first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFilter(f.BotID); err != nil {
				return err
			}
			f.Reason = fault.Kind(reason)
			return withLetters(cmd, &s, func(ctx context.Context, letters *bus.DeadLetters) error {
				list, err := letters.List(ctx, f)
				if err != nil {
					return err
				}
				w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "SEQ\tTIME\tTENANT\tBOT\tCONVERSATION\tREASON\tBYTES\tDETAIL")
				for _, l := range list {
					fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", l.Sequence, l.Time.UTC().Format(time.RFC3339),
						l.Tenant, l.Bot, l.Conversation, l.Reason, l.Size, l.Detail)
				}
				return w.Flush()
			})
		},
	}
	s.connection(cmd.Flags())
	cmd.Flags().StringVar(&f.Tenant, "tenant", "", "only this tenant")
	cmd.Flags().StringVar(&f.Bot, "bot", "", "only this bot")
	cmd.Flags().StringVar(&reason, "reason", "", "only this error code")
	cmd.Flags().Uint64Var(&f.After, "after", 0, "only sequences above this one")
	cmd.Flags().IntVar(&f.Limit, "limit", 100, "at most this many")
	return cmd
}

func showCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "show SEQ",
		Short: "Print the headers and the unchanged payload of a dead letter",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return letter(cmd, &s, args[0], func(ctx context.Context, letters *bus.DeadLetters, seq uint64) error {
				l, err := letters.Show(ctx, seq)
				if err != nil {
					return err
				}
				header, err := json.MarshalIndent(l.Header, "", "  ")
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n%s\n", header, l.Data)
				return err
			})
		},
	}
	s.connection(cmd.Flags())
	return cmd
}

func replayCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "replay SEQ",
		Short: "Publish the event of a dead letter again and delete the dead letter",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return letter(cmd, &s, args[0], func(ctx context.Context, letters *bus.DeadLetters, seq uint64) error {
				stored, err := letters.Replay(ctx, seq)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "dead letter %d published again as event %d\n", seq, stored)
				return err
			})
		},
	}
	s.connection(cmd.Flags())
	return cmd
}

// letter runs a command's work on the one dead letter that its argument names.
func letter(cmd *cobra.Command, s *settings, arg string, work func(context.Context, *bus.DeadLetters, uint64) error) error {
	seq, err := strconv.ParseUint(arg, 10, 64)
	if err != nil {
		return fmt.Errorf("invalid sequence %q: expected a number from the first column of \"starter deadletters list\"", arg)
	}
	return withLetters(cmd, s, func(ctx context.Context, letters *bus.DeadLetters) error { return work(ctx, letters, seq) })
}
