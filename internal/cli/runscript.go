package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/internal/app"
	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/dialect"
	"github.com/hookturn/hookturn/internal/dialect/haptik"
	"github.com/hookturn/hookturn/internal/sandbox"
	"github.com/hookturn/hookturn/internal/scripthost"
	"github.com/hookturn/hookturn/schemas"
)

// runScriptCommand returns the command by which a bot builder tries a script.
func runScriptCommand() *cobra.Command {
	var s settings
	var run scriptRun
	cmd := &cobra.Command{
		Use:   "run-script FILE",
		Short: "Run one script of a code step in the sandbox and print its output and its log",
		Long: "Run one script of a code step in the sandbox and print what main returned and what the script wrote.\n" +
			"event[\"body\"] has all members of a live run, with the vendor's initial values; the event file contains those\n" +
			"that differ. Its user_data becomes user, as in the vendor's own editor. With --bots, --bot and --step the script\n" +
			"runs with the environment variables, packages, connections and timeout of that step.\n" +
			"The egress policy is that of a worker. Requires root and bubblewrap.",
		Example: `  starter run-script examples/bots/verify_otp.py --event event.json
  starter run-script verify_otp.py --bots bots --bot shop --step VERIFY_OTP --packages packages`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.everything(cmd); err != nil {
				return err
			}
			run.file = args[0]
			return run.do(cmd, &s)
		},
	}
	s.offline(cmd)
	s.egress(cmd.Flags())
	s.sandbox(cmd.Flags())
	s.logging(cmd.Flags())
	f := cmd.Flags()
	f.StringVar(&run.event, "event", "", "file with members of event[\"body\"], a JSON object; empty: none")
	f.DurationVar(&run.timeout, "timeout", 0, "how long the script may run; 0: as the step, or 20s")
	f.StringVar(&s.cfg.Bots, "bots", "", "directory of the bot files, for --bot")
	f.StringVar(&run.bot.Tenant, "tenant", "default", "tenant of the bot")
	f.StringVar(&run.bot.Bot, "bot", "", "bot whose step the script is")
	f.StringVar(&run.step, "step", "", "step of the bot")
	return cmd
}

// scriptRun is what the flags ask for.
type scriptRun struct {
	file, event string
	timeout     time.Duration
	bot         schemas.BotID
	step        string
}

// plan returns the plan of the step that the flags name; without a bot it is named like the file.
func (r *scriptRun) plan(cmd *cobra.Command, s *settings) (bot.Plan, error) {
	name := strings.TrimSuffix(filepath.Base(r.file), filepath.Ext(r.file))
	if r.bot.Bot == "" && r.step == "" {
		return bot.Plan{
			BotID: schemas.BotID{Tenant: r.bot.Tenant, Bot: "run-script"}, Step: name,
			Code: &bot.Code{Timeout: bot.Duration(20 * time.Second)},
		}, nil
	}
	if r.bot.Bot == "" || r.step == "" {
		return bot.Plan{}, problem(kindUsage, "--bot and --step belong together: name the bot and the step")
	}
	b, err := s.findBot(cmd, r.bot)
	if err != nil {
		return bot.Plan{}, err
	}
	plan, err := b.Plan(r.step)
	if err == nil && plan.Code == nil {
		err = problem(kindInvalid, "step %s of bot %s is not a code step", r.step, r.bot.Bot)
	}
	return plan, err
}

func (r *scriptRun) do(cmd *cobra.Command, s *settings) error {
	script, err := os.ReadFile(r.file)
	if err != nil {
		return fmt.Errorf("script: %w", err)
	}
	plan, err := r.plan(cmd, s)
	if err != nil {
		return err
	}
	body, err := readBody(r.event, plan)
	if err != nil {
		return err
	}
	result, f, err := app.RunScript(cmd.Context(), s.cfg, sandbox.Job{
		BotID: plan.BotID, Step: plan.Step, EventID: "run-script", Script: string(script), Body: body,
		Timeout:  cmp.Or(r.timeout, plan.Code.Timeout.D()),
		Packages: scripthost.WheelsOf(plan.Code), Connections: plan.Code.Connections,
	})
	if err != nil {
		return err
	}
	if result.Log != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "--- log\n%s\n", strings.TrimSuffix(result.Log, "\n"))
	}
	if f != nil {
		return f
	}
	return printValue(cmd, &s.frame, result.Value)
}

// readBody returns the body of a live run of the step, with the members of the event file in their place. Members of user
// replace the members of the same names. It renames user_data to user.
func readBody(file string, plan bot.Plan) (string, error) {
	request, err := haptik.New().Encode(dialect.Context{Plan: plan})
	if err != nil {
		return "", err
	}
	var body, given, user map[string]json.RawMessage
	if err := json.Unmarshal(request.Body, &body); err != nil {
		return "", err
	}
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("event: %w", err)
		}
		if err := json.Unmarshal(text, &given); err != nil {
			return "", fmt.Errorf("invalid event %s: expected a JSON object: %w", file, err)
		}
	}
	if data, there := given["user_data"]; there && given["user"] == nil {
		given["user"] = data
		delete(given, "user_data")
	}
	if err := json.Unmarshal(body["user"], &user); err != nil {
		return "", err
	}
	if json.Unmarshal(given["user"], &user) == nil { // else it is not an object: the script sees it as it is
		if given["user"], err = json.Marshal(user); err != nil {
			return "", err
		}
	}
	maps.Copy(body, given)
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
	body := []byte(strings.TrimSpace(*returned.Body))
	var indented bytes.Buffer
	if err := json.Indent(&indented, body, "", "  "); err != nil { // the text: a decoded number may lose digits
		return err
	}
	return f.printLine(cmd, map[string]any{"status": returned.StatusCode, "body": json.RawMessage(body)}, "%s", &indented)
}
