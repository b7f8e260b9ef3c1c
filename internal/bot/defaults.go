package bot

import "time"

const second = Duration(time.Second)

// newFile is a bot file with the defaults of the keys that do not depend on others. They are the values that the
// contract shows.
func newFile() *file {
	return &file{
		Tenant:             "default",
		Dialect:            DialectHaptik,
		Environment:        environmentTest,
		BaseURLEnvironment: environmentTest,
		Ordering:           OrderingConversation,
		IdleTimeout:        Duration(3 * time.Hour),
		Visibility:         fileVisibility{User: true, Conversation: VisibleID},
	}
}

// defaults is what a webhook step does when its bot file does not say.
type defaults struct {
	timeout        Duration
	attemptTimeout Duration
	maxAttempts    int
	onFailure      string
	signature      []string // for steps with a secret
}

// backgroundDefaults are the defaults of background steps (contract, section 4.2); the timeout has room for all
// attempts and the waits between them.
func backgroundDefaults(d defaults) defaults {
	d.timeout, d.attemptTimeout, d.maxAttempts = 660*second, 120*second, 5
	return d
}

// defaultRetry is how long a step waits between attempts, in every dialect.
func defaultRetry(maxAttempts int) Retry {
	return Retry{MaxAttempts: maxAttempts, Initial: second / 2, Max: 10 * second, Backoff: 2}
}
