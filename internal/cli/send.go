package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/schemas"
)

// send holds the flags of the command.
type send struct {
	schemas.ConversationKey
	*settings

	eventType, data, id string
	ttl, wait           time.Duration
}

// sent is the result of the command.
type sent struct {
	Event     string            `json:"event"`
	Sequence  uint64            `json:"sequence"`
	Duplicate bool              `json:"duplicate"`
	Replies   []json.RawMessage `json:"replies,omitempty"`
}

func sendCommand() *cobra.Command {
	var s settings
	o := send{settings: &s}
	cmd := &cobra.Command{
		Use:   "send [FILE]",
		Short: "Publish one event: from FILE (- = standard input), or built from the flags",
		Example: `  starter send --bot shop --conversation c-42 --data '{"step":"ORDER_STATUS"}' --wait 10s
  starter send --bot shop event.json --dry-run`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := o.event(cmd, args)
			if err != nil {
				return err
			}
			if s.dryRun {
				return s.printLine(cmd, json.RawMessage(raw), "%s", raw)
			}
			return connected(cmd, &s, func(ctx context.Context, js bus.JetStream) error { return o.publish(ctx, cmd, js, raw) })
		},
	}
	s.connects(cmd)
	s.dry(cmd)
	s.connection(cmd.Flags())
	f := cmd.Flags()
	f.StringVar(&o.Tenant, "tenant", "default", "tenant of the bot")
	f.StringVar(&o.Bot, "bot", "", "bot that the event is for (required)")
	f.StringVar(&o.Conversation, "conversation", "", "conversation id")
	f.StringVar(&o.eventType, "type", schemas.TypeStepRequested, "type of the event")
	f.StringVar(&o.data, "data", "", "data of the event, a JSON object")
	f.StringVar(&o.id, "id", "", "id of the event (default: a new UUID)")
	f.DurationVar(&o.ttl, "ttl", 0, "time from now until the event expires (Nats-TTL)")
	f.DurationVar(&o.wait, "wait", 0, "wait this long for the step's reply and print it")
	_ = cmd.MarkFlagRequired("bot") // the flag exists
	return cmd
}

// event reads or builds the event and validates it, so that the command reports a mistake and not a dead letter.
func (o *send) event(cmd *cobra.Command, args []string) ([]byte, error) {
	if o.ttl < 0 || o.wait < 0 {
		return nil, problem(kindUsage, "invalid --ttl or --wait: must not be negative")
	}
	if !o.Valid() {
		return nil, errNoToken
	}
	raw, err := o.raw(cmd, args)
	if err != nil {
		return nil, err
	}
	e, err := schemas.DecodeEvent(raw)
	if err != nil {
		return nil, problem(kindInvalid, "invalid event: %w", err)
	}
	o.id, o.Conversation = e.ID, e.Subject
	return raw, nil
}

func (o *send) raw(cmd *cobra.Command, args []string) ([]byte, error) {
	if len(args) == 1 {
		for _, name := range []string{"conversation", "type", "data", "id"} {
			if cmd.Flags().Changed(name) {
				return nil, problem(kindUsage, "FILE contains the whole event: remove --%s", name)
			}
		}
	}
	switch {
	case len(args) == 1 && args[0] == "-":
		return io.ReadAll(io.LimitReader(cmd.InOrStdin(), schemas.MessageMax+1))
	case len(args) == 1:
		return os.ReadFile(args[0])
	case o.Conversation == "" || o.data == "":
		return nil, problem(kindUsage, "missing event: expected FILE, or --conversation and --data")
	case !json.Valid([]byte(o.data)):
		return nil, problem(kindInvalid, "invalid --data: expected JSON, quoted for the shell, such as "+
			"--data '{\"step\":\"ORDER_STATUS\"}'")
	}
	if o.id == "" {
		o.id = uuid.NewString()
	}
	return json.Marshal(map[string]any{
		"specversion": "1.0", "id": o.id, "source": "/hookturn/starter/send", "type": o.eventType,
		"time": time.Now().UTC(), "subject": o.Conversation, "datacontenttype": "application/json",
		"data": json.RawMessage(o.data),
	})
}

func (o *send) publish(ctx context.Context, cmd *cobra.Command, js bus.JetStream, raw []byte) error {
	header := nats.Header{}
	if o.ttl > 0 {
		header.Set(bus.HeaderTTL, o.ttl.String())
	}
	result := sent{Event: o.id}
	store := func() error {
		err := o.retry(ctx, func(ctx context.Context) (err error) { // the stream stores an event id once
			result.Sequence, result.Duplicate, err = bus.NewPublisher(js).PublishEvent(ctx, o.ConversationKey, raw, o.id, header)
			return err
		})
		if err != nil || o.output == formatJSON {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "event %s stored as %d (duplicate: %t)\n", o.id, result.Sequence, result.Duplicate)
		return err
	}
	received := func(r bus.StoredReply) error {
		if o.output == formatJSON {
			result.Replies = append(result.Replies, r.Data)
			return nil
		}
		return printReply(cmd.OutOrStdout(), r)
	}
	publish := store
	if o.wait > 0 {
		publish = func() error { return o.await(ctx, js, store, received) }
	}
	if err := publish(); err != nil || o.output != formatJSON {
		return err
	}
	return printJSON(cmd.OutOrStdout(), result)
}

// await publishes the event when the reader of replies is ready, then passes replies on up to that of the step.
func (o *send) await(
	whole context.Context, js bus.JetStream, store func() error, received func(bus.StoredReply) error,
) error {
	ctx, cancel := context.WithTimeout(whole, o.wait)
	defer cancel()
	answered := errors.New("answered")
	var stored error
	err := bus.Follow(ctx, js, bus.Tail{ConversationKey: o.ConversationKey},
		func() {
			if stored = store(); stored != nil {
				cancel()
			}
		},
		func(r bus.StoredReply) error {
			eventID, replyType := answers(r)
			if eventID != o.id {
				return nil
			}
			if err := received(r); err != nil {
				return err
			}
			if replyType == schemas.TypeStepReplied {
				return answered
			}
			return nil
		})
	switch {
	case errors.Is(err, answered):
		return nil
	case stored != nil:
		return stored
	case err != nil:
		return err
	case whole.Err() != nil:
		return fmt.Errorf("waiting for the reply was interrupted: %w", whole.Err())
	}
	return problem(kindFailed, "no reply within %s", o.wait).
		do("check that a starter and a worker run, and \"starter deadletters list\"")
}
