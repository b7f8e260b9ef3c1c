package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/internal/app"
	"github.com/hookturn/hookturn/internal/sandbox"
	"github.com/hookturn/hookturn/schemas"
)

// runScriptCommand returns the command by which a bot builder tries a script.
func runScriptCommand() *cobra.Command {
	var s settings
	var event string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "run-script FILE",
		Short: "Run one script of a code step in the sandbox and print its output and its log",
		Long: "Run one script of a code step in the sandbox and print what main returned and what the script wrote.\n" +
			"The event file contains the JSON of event[\"body\"]; its user_data becomes user, as in the vendor's own editor.\n" +
			"The egress policy is that of a worker. Requires root and bubblewrap.",
		Example: `  starter run-script examples/bots/verify_otp.py --event event.json`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.everything(cmd); err != nil {
				return err
			}
			return runScript(cmd, &s, args[0], event, timeout)
		},
	}
	s.tool(cmd)
	s.egress(cmd.Flags())
	s.sandbox(cmd.Flags())
	s.logging(cmd.Flags())
	cmd.Flags().StringVar(&event, "event", "", "file with the JSON of event[\"body\"]; empty: {}")
	cmd.Flags().DurationVar(&timeout, "timeout", 20*time.Second, "how long the script may run")
	return cmd
}

func runScript(cmd *cobra.Command, s *settings, file, event string, timeout time.Duration) error {
	script, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("script: %w", err)
	}
	body, err := readBody(event)
	if err != nil {
		return err
	}
	name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	r, f, err := app.RunScript(cmd.Context(), s.cfg, sandbox.Job{
		BotID: schemas.BotID{Tenant: "default", Bot: "run-script"}, Step: name, EventID: "run-script", Script: string(script),
		Body:    body,
		Timeout: timeout,
	})
	if err != nil {
		return err
	}
	if r.Log != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "--- log\n%s\n", strings.TrimSuffix(r.Log, "\n"))
	}
	if f != nil {
		return f
	}
	return printValue(cmd, &s.frame, r.Value)
}

// readBody reads the event and renames user_data to user.
func readBody(file string) (string, error) {
	if file == "" {
		return "{}", nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("event: %w", err)
	}
	var body map[string]json.RawMessage
	if err := json.Unmarshal(text, &body); err != nil {
		return "", fmt.Errorf("invalid event %s: expected a JSON object: %w", file, err)
	}
	if data, given := body["user_data"]; given && body["user"] == nil {
		body["user"] = data
		delete(body, "user_data")
	}
	out, err := json.Marshal(body)
	return string(out), err
}

// printValue prints what main returned; a body that is JSON is printed as JSON.
func printValue(cmd *cobra.Command, f *frame, value []byte) error {
	var returned struct {
		StatusCode json.Number `json:"statusCode"`
		Body       *string     `json:"body"`
	}
	if json.Unmarshal(value, &returned) != nil || returned.Body == nil || !json.Valid([]byte(*returned.Body)) {
		if f.output == formatText {
			fmt.Fprintf(cmd.OutOrStdout(), "%s\n", value)
		}
		return errors.New(`main must return {"statusCode": 200, "headers": {…}, "body": "<JSON text>"}`)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "--- status %s\n", returned.StatusCode)
	var shown any
	if err := json.Unmarshal([]byte(*returned.Body), &shown); err != nil {
		return err
	}
	out, err := json.MarshalIndent(shown, "", "  ")
	if err != nil {
		return err
	}
	return f.printLine(cmd, map[string]any{"status": returned.StatusCode, "body": shown}, "%s", out)
}
