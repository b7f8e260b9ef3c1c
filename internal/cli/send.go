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
	result              sent
}

// sent is the result of the command.
type sent struct {
	Event     string `json:"event"`
	Sequence  uint64 `json:"sequence"`
	Duplicate bool   `json:"duplicate"`
	// Result is how the wait ended: replied, rejected, waiting, dead_letter or no_reply; empty without --wait.
	Result     string            `json:"result,omitempty"`
	Replies    []json.RawMessage `json:"replies,omitempty"`
	DeadLetter *sentLetter       `json:"dead_letter,omitempty"`
}

// sentLetter is the dead letter that the event became.
type sentLetter struct {
	Reason string `json:"reason"`
	Detail string `json:"detail"`
}

func sendCommand() *cobra.Command {
	var s settings
	o := send{settings: &s}
	cmd := &cobra.Command{
		Use:   "send [FILE]",
		Short: "Publish one event: from FILE (- = standard input), or built from the flags",
		Long: "Publish one event: from FILE (- = standard input), or built from the flags.\n" +
			"--wait ends with the first of: the reply of the step (status 0; 4 when its outcome is rejected), the reply that\n" +
			"the step waits for entities (6), a dead letter (4), the end of the time (1). A duplicate gets the stored replies.\n" +
			"For " + schemas.TypeEntitiesCollected + " that is the reply of the step that waits for the entities, for\n" +
			schemas.TypeConversationEnded + " it is " + schemas.TypeConversationClosed + " (0).",
		Example: `  starter send --bot shop --conversation c-42 --data '{"step":"ORDER_STATUS"}' --wait 10s
  starter send --bot shop --conversation c-42 --type hookturn.entities.collected --wait 10s \
    --data '{"entities":{"product_name":[{"detection":"message","original_text":"speaker","entity_value":"speaker"}]}}'
  starter send --bot shop event.json --dry-run`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := o.event(cmd, args)
			if err != nil {
				return err
			}
			if s.dryRun {
				return o.dry(cmd, raw)
			}
			if err := s.ask(cmd, "publish event %s of conversation %s, %s, for bot %s of tenant %s", line(o.id),
				line(o.Conversation), o.eventType, o.Bot, o.Tenant); err != nil {
				return err
			}
			return connected(cmd, &s, func(ctx context.Context, js bus.JetStream) error { return o.publish(ctx, cmd, js, raw) })
		},
	}
	s.connects(cmd)
	s.adds(cmd)
	s.connection(cmd.Flags())
	f := cmd.Flags()
	f.StringVar(&o.Tenant, "tenant", "default", "tenant of the bot")
	f.StringVar(&o.Bot, "bot", "", "bot that the event is for (required)")
	f.StringVar(&o.Conversation, "conversation", "", "conversation id")
	f.StringVar(&o.eventType, "type", schemas.TypeStepRequested, "type of the event")
	f.StringVar(&o.data, "data", "", "data of the event, a JSON object")
	f.StringVar(&o.id, "id", "", "id of the event (default: a new UUID)")
	f.DurationVar(&o.ttl, "ttl", 0, "time from now until the event expires (Nats-TTL)")
	f.DurationVar(&o.wait, "wait", 0, "wait this long for the reply and print it")
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
	o.id, o.Conversation, o.eventType = e.ID, e.Subject, e.Type
	return raw, nil
}

// dry checks what can be checked without a connection, and prints the event.
func (o *send) dry(cmd *cobra.Command, raw []byte) error {
	if err := o.environment(cmd); err != nil {
		return err
	}
	if err := o.cfg.Login().Check(); err != nil {
		return err
	}
	return o.print(cmd, json.RawMessage(raw), func(out io.Writer) error {
		_, err := fmt.Fprintf(out, "would publish on %s:\n%s\n", schemas.Subject(schemas.SubjectEvents, o.ConversationKey), raw)
		return err
	})
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
	o.result = sent{Event: o.id}
	if o.wait <= 0 {
		if err := o.store(ctx, cmd, js, raw); err != nil || o.output != formatJSON {
			return err
		}
		return printJSON(cmd.OutOrStdout(), o.result)
	}
	end, err := o.storeAndWait(ctx, cmd, js, raw)
	if err != nil || o.output != formatJSON {
		return errors.Join(err, end)
	}
	if err := printJSON(cmd.OutOrStdout(), o.result); err != nil || end == nil {
		return err
	}
	kind := kindFailed
	if known, ok := errors.AsType[*toolError](end); ok {
		kind = known.kind
	}
	return printed(kind)
}

// store publishes the event.
func (o *send) store(ctx context.Context, cmd *cobra.Command, js bus.JetStream, raw []byte) error {
	header := nats.Header{}
	if o.ttl > 0 {
		header.Set(bus.HeaderTTL, o.ttl.String())
	}
	err := o.retry(ctx, func(ctx context.Context) error { // the stream stores an event id once
		seq, duplicate, err := bus.NewPublisher(js).PublishEvent(ctx, o.ConversationKey, raw, o.id, header)
		o.result.Sequence, o.result.Duplicate = seq, duplicate
		return err
	})
	if err != nil || o.output == formatJSON {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "event %s stored as %d (duplicate: %t)\n",
		o.id, o.result.Sequence, o.result.Duplicate)
	return err
}
