package bot

import "time"

// Bounds of how long the data of a bot is kept. The least is more than the longest step takes (background, 1 h) and the
// stream of replies recognizes a second publication (15 min): a step that is repeated finds the reply that it published.
// The most is what the streams keep.
const (
	retentionMin        = Duration(2 * time.Hour)
	retentionRepliesMax = Duration(72 * time.Hour)
	retentionLettersMax = Duration(14 * 24 * time.Hour)
	retentionFilesMax   = Duration(7 * 24 * time.Hour)
)

type fileRetention struct {
	Replies     Duration `yaml:"replies"`
	DeadLetters Duration `yaml:"dead_letters"`
	Files       Duration `yaml:"files"`
}

// Retention is how long what is stored of a bot is kept; 0 = as long as its stream keeps everything.
type Retention struct{ Replies, DeadLetters, Files time.Duration }

// Retention returns how long what is stored of the bot is kept.
func (b *Bot) Retention() Retention { return b.retention }

func (c *checker) retention() {
	r := c.file.Retention
	for _, kept := range []struct {
		path  string
		value Duration
		most  Duration
	}{
		{"$.retention.replies", r.Replies, retentionRepliesMax},
		{"$.retention.dead_letters", r.DeadLetters, retentionLettersMax},
		{"$.retention.files", r.Files, retentionFilesMax},
	} {
		if kept.value != 0 {
			c.within(kept.path, kept.value, retentionMin, kept.most)
		}
	}
	c.bot.retention = Retention{r.Replies.D(), r.DeadLetters.D(), r.Files.D()}
}
