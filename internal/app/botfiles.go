package app

import (
	"fmt"
	"time"
)

// botFiles says which bot files are in use, for /readyz?verbose. A bad file makes no process unready: its bot alone is held
// back, and an orchestrator that restarts the process would change nothing.
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
