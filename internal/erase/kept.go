package erase

// kept lists what is not deleted.
func kept(r Request) []Kept {
	list := []Kept{
		{"log lines", "they name conversations and runs, no content: the retention of the logs applies"},
		{"metrics", "they have no ids of people or conversations"},
		{"digests of events that came over HTTP", "SHA-256 without content; they expire after 10 minutes"},
		{"runs of background queues and of channels' scripts", "a run of a queue serves many conversations, and a script " +
			"belongs to none: their histories expire with the retention of the namespace"},
		{"files that only a link names", "links are encrypted; files expire after 7 days"},
		{"free space of the servers' files", "Temporal's database and older versions of user details and files in NATS are " +
			"overwritten by compaction, see docs/operations.md"},
		{"what engines, endpoints and backups have received", "hookturn does not control them"},
	}
	if r.User != "" {
		list = append(list, Kept{"runs of bots with visibility.user: false",
			"their runs do not name the user: erase their conversations by id"})
	}
	return list
}
