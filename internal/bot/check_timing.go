package bot

import "time"

// Bounds of what a bot file may ask for.
const (
	timeoutMin        = Duration(time.Second)
	timeoutMax        = Duration(10 * time.Minute)
	attemptTimeoutMin = Duration(time.Second)
	attemptTimeoutMax = Duration(30 * time.Second)
	// No user waits for a background step, but a step must not block its queue for long.
	backgroundTimeoutMax        = Duration(time.Hour)
	backgroundAttemptTimeoutMax = Duration(2 * time.Minute)
	retryWaitMin                = Duration(10 * time.Millisecond)
	retryInitialMax             = Duration(time.Minute)
	retryWaitMax                = Duration(5 * time.Minute)
	attemptsMax                 = 20
	backoffMax                  = 10
)

// bounds are the longest timeouts of a kind of step.
type bounds struct{ timeout, attempt Duration }

func boundsOf(dialect Spec, background bool) bounds {
	if background {
		return bounds{backgroundTimeoutMax, backgroundAttemptTimeoutMax}
	}
	return bounds{dialect.timeoutMax(), attemptTimeoutMax}
}

// timeouts reads both deadlines. A request whose late answer is wanted may go on after the step's end; no other may.
func (c *checker) timeouts(path string, w *fileWebhook, most bounds, defaults defaults) (timeout, attempt Duration) {
	timeout, attempt = defaults.timeout, defaults.attemptTimeout
	if w.Timeout != nil {
		timeout = *w.Timeout
		c.within(path+".timeout", timeout, timeoutMin, most.timeout)
	}
	late := w.LateAnswer == LateAnswerPublish
	switch {
	case w.AttemptTimeout == nil && late:
		return timeout, attempt
	case w.AttemptTimeout == nil:
		return timeout, min(attempt, timeout)
	}
	attempt = *w.AttemptTimeout
	c.within(path+".attempt_timeout", attempt, attemptTimeoutMin, most.attempt)
	if attempt > timeout && !late {
		c.problem(path+".attempt_timeout", "%s is longer than the timeout of the step, %s: only with late_answer publish", attempt,
			timeout)
	}
	return timeout, attempt
}

func (c *checker) retry(path string, r fileRetry, defaults defaults) Retry {
	retry := defaultRetry(defaults.maxAttempts)
	if r.MaxAttempts != nil {
		retry.MaxAttempts = *r.MaxAttempts
		c.number(path+".max_attempts", float64(retry.MaxAttempts), 1, attemptsMax)
	}
	if r.Backoff != nil {
		retry.Backoff = *r.Backoff
		c.number(path+".backoff", retry.Backoff, 1, backoffMax)
	}
	if r.Initial != nil {
		retry.Initial = *r.Initial
		c.within(path+".initial", retry.Initial, retryWaitMin, retryInitialMax)
	}
	if r.Max == nil {
		retry.Max = max(retry.Max, retry.Initial)
		return retry
	}
	retry.Max = *r.Max
	c.within(path+".max", retry.Max, retryWaitMin, retryWaitMax)
	if retry.Max < retry.Initial {
		c.problem(path+".max", "%s is shorter than the initial wait, %s", retry.Max, retry.Initial)
	}
	return retry
}

// latency reads the keys of the latency contract: the soft deadline, what happens after the hard one, and the mode.
func (c *checker) latency(path string, w *fileWebhook, hook *Webhook) {
	if c.has(path + ".late_answer") {
		c.oneOf(path+".late_answer", w.LateAnswer, LateAnswerDrop, LateAnswerPublish)
	}
	if c.has(path + ".mode") {
		c.oneOf(path+".mode", w.Mode, ModeSync, ModeBackground)
	}
	c.progress(path, w, hook.Timeout)
	if w.LateAnswer == LateAnswerPublish {
		hook.LateAnswer = LateAnswerPublish
	}
	if w.ProgressAfter != nil {
		hook.ProgressAfter, hook.ProgressMessage = *w.ProgressAfter, w.ProgressMessage
	}
	if w.Mode != ModeBackground {
		return
	}
	hook.Mode = ModeBackground
	for _, key := range []string{".progress_after", ".late_answer", ".on_failure", ".response", ".execution"} {
		if c.has(path + key) {
			c.problem(path+key, "has no effect with mode background, which does not wait for the answer: remove the key")
		}
	}
}

func (c *checker) progress(path string, w *fileWebhook, timeout Duration) {
	c.checkTexts(path+".progress_message", w.ProgressMessage)
	after, message := c.has(path+".progress_after"), c.has(path+".progress_message")
	switch {
	case after && !message:
		c.problem(path+".progress_after", "needs the key progress_message beside it")
	case message && !after:
		c.problem(path+".progress_message", "needs the key progress_after beside it")
	}
	if w.ProgressAfter != nil && (*w.ProgressAfter <= 0 || *w.ProgressAfter >= timeout) {
		c.problem(path+".progress_after", "%s is out of bounds: want more than 0s and less than the timeout, %s",
			*w.ProgressAfter, timeout)
	}
}
