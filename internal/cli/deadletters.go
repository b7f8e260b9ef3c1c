package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/schemas"
)

func deadlettersCommand() *cobra.Command {
	cmd := group("deadletters", "List, show and replay events that could not be handled")
	cmd.AddCommand(listCommand(), showCommand(), replayCommand())
	return cmd
}

// withLetters runs a command's work on the dead letters.
func withLetters(cmd *cobra.Command, s *settings, work func(context.Context, bus.JetStream, *bus.DeadLetters) error) error {
	return connected(cmd, s, func(ctx context.Context, js bus.JetStream) error {
		streams, err := bus.Setup(ctx, js, bus.StreamOptions{})
		if err != nil {
			return err
		}
		return work(ctx, js, bus.NewDeadLetters(js, streams))
	})
}

func listCommand() *cobra.Command {
	var s settings
	var f letterFilter
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List dead letters, oldest first",
		Example: `  starter deadletters list --bot shop --reason unknown_step`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.complete(); err != nil {
				return err
			}
			return withLetters(cmd, &s, func(ctx context.Context, _ bus.JetStream, letters *bus.DeadLetters) error {
				var list []bus.DeadLetter
				err := s.retry(ctx, func(ctx context.Context) (err error) {
					list, err = letters.List(ctx, f.DeadLetterFilter)
					return err
				})
				if err != nil {
					return err
				}
				if len(list) == 0 {
					return problem(kindNotFound, "no dead letters match")
				}
				return s.print(cmd, lettersShown(list), func(out io.Writer) error { return writeLetters(out, list) })
			})
		},
	}
	s.connects(cmd)
	s.connection(cmd.Flags())
	f.flags(cmd)
	cmd.Flags().Uint64Var(&f.After, "after", 0, "only sequences above this one")
	cmd.Flags().IntVar(&f.Limit, "limit", 100, "at most this many")
	return cmd
}

func showCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "show SEQ",
		Short: "Print the headers and the payload of a dead letter",
		Long: "Print the headers and the payload of a dead letter. Control characters are printed as \\u00xx.\n" +
			"In a JSON document, \"data\" is the unchanged payload as base64.",
		Example: `  starter deadletters show 1`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return letter(cmd, &s, args[0], func(
				ctx context.Context, _ bus.JetStream, letters *bus.DeadLetters, seq uint64,
			) error {
				l, err := letters.Show(ctx, seq)
				if err != nil {
					return err
				}
				header, err := json.MarshalIndent(l.Header, "", "  ")
				if err != nil {
					return err
				}
				document := map[string]any{"header": l.Header, "data": l.Data}
				return s.printLine(cmd, document, "%s\n%s", header, l.Data)
			})
		},
	}
	s.connects(cmd)
	s.connection(cmd.Flags())
	return cmd
}

// letterShown is a dead letter in a list.
type letterShown struct {
	schemas.BotID

	Sequence     uint64     `json:"sequence"`
	Time         time.Time  `json:"time"`
	Conversation string     `json:"conversation"`
	Reason       fault.Kind `json:"reason"`
	Detail       string     `json:"detail"`
	Bytes        int        `json:"bytes"`
	Subject      string     `json:"subject"`
}

func lettersShown(list []bus.DeadLetter) []letterShown {
	shown := make([]letterShown, 0, len(list))
	for _, l := range list {
		shown = append(shown, letterShown{
			BotID: l.BotID, Sequence: l.Sequence, Time: l.Time, Conversation: l.Conversation, Reason: l.Reason, Detail: l.Detail,
			Bytes: l.Size, Subject: l.Subject,
		})
	}
	return shown
}

func writeLetters(out io.Writer, list []bus.DeadLetter) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SEQ\tTIME\tTENANT\tBOT\tCONVERSATION\tREASON\tBYTES\tDETAIL")
	for _, l := range list {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", l.Sequence, l.Time.UTC().Format(time.RFC3339),
			line(l.Tenant), line(l.Bot), line(l.Conversation), line(string(l.Reason)), l.Size, line(l.Detail))
	}
	return w.Flush()
}

// completesKinds lets shells complete an error code.
func completesKinds(cmd *cobra.Command, flag string) {
	var kinds []string
	for _, kind := range fault.Kinds() {
		kinds = append(kinds, string(kind))
	}
	completes(cmd, flag, kinds...)
}

// letter runs a command's work on the one dead letter that its argument names.
func letter(cmd *cobra.Command, s *settings, arg string,
	work func(context.Context, bus.JetStream, *bus.DeadLetters, uint64) error,
) error {
	seq, err := strconv.ParseUint(arg, 10, 64)
	if err != nil {
		return problem(kindUsage, "invalid sequence %q: expected a number from the first column of "+
			"\"starter deadletters list\"", arg)
	}
	return withLetters(cmd, s, func(ctx context.Context, js bus.JetStream, letters *bus.DeadLetters) error {
		return work(ctx, js, letters, seq)
	})
}
