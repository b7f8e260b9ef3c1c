package e2e

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

// session is one command of a page, and what it prints.
type session struct {
	command, output string
}

var console = regexp.MustCompile("(?s)```console\n(.*?)```")

// sessions reads the console blocks of a page: commands begin with $, go on after a backslash or inside quotes, and what
// they print follows.
func sessions(page string) []session {
	var all []session
	for _, block := range console.FindAllStringSubmatch(page, -1) {
		var s *session
		for line := range strings.Lines(block[1]) {
			text := strings.TrimSuffix(line, "\n")
			switch command, begins := strings.CutPrefix(text, "$ "); {
			case begins:
				all = append(all, session{command: command})
				s = &all[len(all)-1]
			case strings.HasSuffix(s.command, `\`) || strings.Count(s.command, "'")%2 == 1:
				s.command += "\n" + text
			default:
				s.output += text
			}
		}
	}
	return all
}

// matchesOutput compares the printed output with that of the page, in which … matches any text.
func matchesOutput(page, printed string) bool {
	parts := strings.Split(page, "…")
	for i, part := range parts {
		parts[i] = regexp.QuoteMeta(part)
	}
	return regexp.MustCompile(`(?s)^` + strings.Join(parts, ".*") + `\s*$`).MatchString(printed)
}

// TestDocs_CommandsOfTheGatewayPage runs every command of docs/gateway.md against the examples, as "make dev" serves them.
func TestDocs_CommandsOfTheGatewayPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/gateway.md")
	require.NoError(t, err)
	all := sessions(string(page))
	require.Greater(t, len(all), 10)

	webhooks := freeAddr()
	bots := t.TempDir()
	require.NoError(t, copyExamples("../../examples/bots", bots, webhooks))
	_, where := runServers(t, append(anyPort(), "--webhook-addr="+webhooks, "--bots="+bots, "--secrets-dir=../../examples/secrets",
		"--event-tokens=../../examples/event-tokens", "--operator-token-file=../../examples/operator-token")...)
	tools := t.TempDir()
	self, err := os.Executable()
	require.NoError(t, err)
	shim := fmt.Sprintf("#!/bin/sh\n%s=websocat exec %q \"$@\"\n", role, self)
	require.NoError(t, os.WriteFile(filepath.Join(tools, "websocat"), []byte(shim), 0o700))
	local := strings.NewReplacer("127.0.0.1:8080", where["gateway"], "127.0.0.1:9090", where["admin"])
	for _, s := range all {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		command := exec.CommandContext(ctx, "bash", "-c", local.Replace(s.command))
		command.Env = append(os.Environ(), "PATH="+tools+":"+os.Getenv("PATH"))
		printed, err := command.CombinedOutput()
		cancel()
		require.NoError(t, err, "%s\n%s", s.command, printed)
		require.True(t, matchesOutput(s.output, string(printed)), "%s\nprints\n%s\nand not\n%s", s.command, printed, s.output)
	}
}

func copyExamples(from, to, webhooks string) error {
	return filepath.WalkDir(from, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), []byte(strings.ReplaceAll(string(text), "127.0.0.1:8090", webhooks)), 0o600)
	})
}

// websocat does what the program of that name does with the options that the page uses: -n1 sends one line and prints one.
func websocat(args []string, in io.Reader, out io.Writer) error {
	header := http.Header{}
	flags := flag.NewFlagSet("websocat", flag.ContinueOnError)
	once := flags.Bool("n1", false, "one message each way")
	flags.Func("H", "header", func(text string) error {
		name, value, _ := strings.Cut(text, ":")
		header.Set(name, strings.TrimSpace(value))
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	if !*once || flags.NArg() != 1 {
		return errors.New("use: websocat -n1 [-H=HEADER] URL")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, flags.Arg(0), &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil {
		return err
	}
	if err := conn.Write(ctx, websocket.MessageText, []byte(strings.TrimSpace(line))); err != nil {
		return err
	}
	_, text, err := conn.Read(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s\n", text)
	return conn.Close(websocket.StatusNormalClosure, "")
}
