package cli

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/hookturn/hookturn/internal/inspect"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

const clock = "2006-01-02 15:04:05.000"

// line fits a text of another party into a line of a terminal: without line breaks and control characters.
func line(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' || r == '\t' || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}

// writeConversation prints a conversation as a person reads it, oldest first. Times are in UTC.
func writeConversation(out io.Writer, c *inspect.Conversation) error {
	var b strings.Builder
	fmt.Fprintf(&b, "conversation %s of bot %s of tenant %s\n", line(c.Conversation), c.Bot, c.Tenant)
	for _, r := range c.Runs {
		fmt.Fprintf(&b, "run %s since %s", r.Status, r.Started.UTC().Format(clock))
		if r.Ended != nil {
			fmt.Fprintf(&b, ", ended %s", r.Ended.UTC().Format(clock))
		}
		if r.User != "" {
			fmt.Fprintf(&b, ", user %s", line(r.User))
		}
		fmt.Fprintf(&b, "\n    %s\n", r.URL)
	}
	for _, e := range c.Events {
		writeEvent(&b, e)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func writeEvent(b *strings.Builder, e inspect.Event) {
	fmt.Fprintf(b, "\n%s  %s", e.At.UTC().Format(clock), cmp.Or(step.UpdateName(e.Type), "event"))
	if e.Step != "" {
		fmt.Fprintf(b, " %s", line(e.Step))
	}
	fmt.Fprintf(b, "  (%s)\n", line(e.ID))
	if len(e.Message) > 0 {
		fmt.Fprintf(b, "    user: %s\n", line(string(e.Message)))
	}
	for _, r := range e.Replies {
		writeReply(b, e, r)
	}
	switch {
	case e.InHand:
		fmt.Fprintf(b, "    in hand for %s\n    %s\n", time.Since(e.At).Round(time.Millisecond), e.URL)
	case len(e.Replies) == 0 && e.Result != nil && e.Result.Outcome != "":
		fmt.Fprintf(b, "    %s after %d attempts; the reply is not stored any more\n",
			outcomeText(string(e.Result.Outcome), e.Result.Error), e.Result.Attempts)
	}
}

func writeReply(b *strings.Builder, e inspect.Event, r inspect.Reply) {
	what := step.UpdateName(r.Type)
	switch {
	case r.Outcome != "":
		code := ""
		if r.Error != nil {
			code = r.Error.Kind
		}
		what += ": " + outcomeText(string(r.Outcome), code)
	case len(r.Missing) > 0:
		what += ": " + line(strings.Join(r.Missing, ", "))
	case r.Reason != "":
		what += ": " + line(r.Reason)
	}
	fmt.Fprintf(b, "    %s  %s, %s after the event\n",
		r.Time.UTC().Format(clock), what, r.Time.Sub(e.At).Round(time.Millisecond))
	if r.Error != nil && r.Error.Message != "" {
		fmt.Fprintf(b, "        error: %s\n", line(r.Error.Message))
	}
	for _, a := range r.Attempts {
		writeAttempt(b, a)
	}
	for _, m := range r.Messages {
		fmt.Fprintf(b, "        the user read: %s\n", line(inspect.TextOf(m)))
	}
}

func outcomeText(outcome, code string) string {
	if code == "" {
		return outcome
	}
	return outcome + " (" + code + ")"
}

func writeAttempt(b *strings.Builder, a schemas.Attempt) {
	result := a.Error
	if a.Status != 0 {
		result = strings.TrimSpace(fmt.Sprintf("%d %s", a.Status, a.Error))
	}
	fmt.Fprintf(b, "        attempt %d at %s: %s, %s, %.0f ms",
		a.N, a.Started.UTC().Format("15:04:05.000"), line(a.URL), result, a.TotalMs)
	fmt.Fprintf(b, " (dns %.0f, connect %.0f, tls %.0f, first byte %.0f), %d bytes\n",
		a.DNSMs, a.ConnectMs, a.TLSMs, a.FirstByteMs, a.Bytes)
}
