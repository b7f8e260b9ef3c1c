package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/internal/bus"
)

func tailCommand() *cobra.Command {
	var s settings
	var t bus.Tail
	var since time.Duration
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print replies as they are stored, one JSON document a line, until interrupted",
		Long: "Print replies as they are stored, one JSON document a line, until interrupted.\n" +
			"With --output json an error is a document too.",
		Example: `  starter tail --bot shop --since 1h`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFilter(t.BotID); err != nil {
				return err
			}
			if since > 0 {
				t.Since = time.Now().Add(-since)
			}
			return connected(cmd, &s, func(ctx context.Context, js bus.JetStream) error {
				return bus.Follow(ctx, js, t, nil, func(r bus.StoredReply) error { return printReply(cmd.OutOrStdout(), r) })
			})
		},
	}
	s.connects(cmd)
	s.connection(cmd.Flags())
	f := cmd.Flags()
	f.StringVar(&t.Tenant, "tenant", "", "only this tenant")
	f.StringVar(&t.Bot, "bot", "", "only this bot")
	f.StringVar(&t.Conversation, "conversation", "", "only this conversation")
	f.DurationVar(&since, "since", 0, "also print the replies stored in this time, for example 1h")
	return cmd
}

// printReply prints a reply on one line.
func printReply(out io.Writer, r bus.StoredReply) error {
	var line bytes.Buffer
	if err := json.Compact(&line, r.Data); err != nil {
		return fmt.Errorf("invalid reply %d: expected JSON: %w", r.Sequence, err)
	}
	line.WriteByte('\n')
	_, err := line.WriteTo(out)
	return err
}
