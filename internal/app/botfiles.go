package app

import (
	"fmt"
	"time"
)

// botFiles returns the state of the bot files, for /readyz?verbose. An invalid file does not make the process unready: it
// disables only its own bot, and a restart of the process would not change that.
func (b *base) botFiles() []string {
	status := b.bots.Status()
	lines := []string{fmt.Sprintf("bot files: %d bots, %d bad files, last load without a bad file %s", status.Bots,
		len(status.BadFiles), when(status.LastGood))}
	switch {
	case len(status.Problems) > 0:
		for _, p := range status.Problems {
			lines = append(lines, "bot file "+p.String())
		}
	case status.Err != nil:
		lines = append(lines, "bot files: the latest load failed: "+status.Err.Error())
	}
	return lines
}

func when(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}
