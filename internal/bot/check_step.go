package bot

import (
	"maps"
	"slices"

	"github.com/hookturn/hookturn/internal/header"
	"github.com/hookturn/hookturn/schemas"
)

// step checks one step and builds its plan, which is complete when there is no problem.
func (c *checker) step(name string, s *fileStep) Plan {
	path := member("$.steps", name)
	if !schemas.IsToken(name) {
		c.problem(path, "is not a name: want 1 to 64 of A-Z a-z 0-9 _ -")
	}
	switch webhook, code := c.has(path+".webhook"), c.has(path+".code"); {
	case webhook && code:
		c.problem(path, "has both webhook and code: want exactly one")
	case !webhook && !code:
		c.problem(path, "has neither webhook nor code: want exactly one")
	}
	plan := Plan{
		BotID: c.bot.id, Step: name, Dialect: c.file.Dialect, Revision: c.revision,
		EndStep: s.EndStep, Env: c.env(),
		OnFailure: c.onFailure(c.file.Dialect), BotBreak: c.file.BotBreak,
	}
	plan.Requires, plan.Fresh = c.requires(path+".requires", s.Requires)
	if s.Webhook != nil {
		c.webhook(path+".webhook", s.Webhook, &plan)
	}
	if s.Code != nil {
		plan.Code = c.code(path+".code", s.Code, codeTimeoutMax)
		plan.Dialect, plan.OnFailure = DialectHaptik, c.onFailure(DialectHaptik) // code steps are that vendor's
	}
	return plan
}

func (c *checker) webhook(path string, w *fileWebhook, plan *Plan) {
	if c.has(path + ".dialect") {
		c.oneOf(path+".dialect", w.Dialect, c.dialects.names()...)
		plan.Dialect = w.Dialect
	}
	if part := c.dialects.partOf(plan.Dialect); part != "" {
		c.once(path, "a webhook cannot speak %s: it is spoken by %ss", plan.Dialect, part)
	}
	spec := c.dialects.get(plan.Dialect)
	defaults := spec.defaults()
	background := w.Mode == ModeBackground
	if background {
		defaults = backgroundDefaults(defaults)
	}

	plan.OnFailure = c.onFailure(plan.Dialect)
	if c.has(path + ".on_failure") {
		c.oneOf(path+".on_failure", w.OnFailure, OnFailureBotBreak, OnFailureHandover, OnFailureContinue)
		plan.OnFailure = w.OnFailure
	}
	hook := &Webhook{
		URL:           c.url(path, w),
		Secret:        w.Secret,
		Signature:     c.signature(path, w, defaults),
		Headers:       c.headers(path+".headers", w.Headers),
		Authorization: c.authorization(path+".authorization", w.Authorization),
		Retry:         c.retry(path+".retry", w.Retry, defaults),
		Execution:     w.Execution,
		Limits:        c.limits(path+".limits", w.Limits),
		Params:        c.params(path+".params", w.Params, plan.Dialect),
		Request:       c.program(path, "request", w.Request, plan.Dialect),
		Response:      c.program(path, "response", w.Response, plan.Dialect),
		OAuth2:        c.oauth2(path+".oauth2", w.OAuth2),
		TLS:           c.clientTLS(path+".tls", w.TLS),
	}
	hook.Rotation = c.rotation(path, w, hook.Retry.MaxAttempts)
	if w.OAuth2 != nil && w.Authorization != nil {
		c.problem(path+".oauth2", "and authorization both set the header Authorization: want one of them")
	}
	hook.Timeout, hook.AttemptTimeout = c.timeouts(path, w, boundsOf(spec, background), defaults)
	if c.has(path + ".execution") {
		c.oneOf(path+".execution", w.Execution, ExecutionAuto, ExecutionLocal, ExecutionActivity)
	}
	c.latency(path, w, hook)
	plan.Webhook = hook
}

// url resolves the endpoint's URL and checks it against the egress policy.
func (c *checker) url(path string, w *fileWebhook) string {
	resolved := c.resolveURL(path, w)
	if resolved == "" || w.URL != nil {
		return resolved
	}
	if err := c.options.CheckURL(resolved); err != nil {
		c.problem(path+".path", "%s", err)
	}
	return resolved
}

// resolveURL is an absolute URL, or the base URL of the running environment and a path; "" when there is a problem.
func (c *checker) resolveURL(path string, w *fileWebhook) string {
	switch hasPath, hasURL := c.has(path+".path"), c.has(path+".url"); {
	case hasPath && hasURL:
		c.problem(path, "has both path and url: want exactly one")
	case !hasPath && !hasURL:
		c.problem(path, "has neither path nor url: want exactly one")
	}
	if w.URL != nil {
		return c.absolute(path+".url", *w.URL)
	}
	if w.Path == nil {
		return ""
	}
	if err := checkPath(*w.Path); err != nil {
		c.problem(path+".path", "%s", err)
		return ""
	}
	if c.base == "" {
		c.problem(path+".path", "needs a base URL: base_urls.%s is not set", c.baseEnvironment())
		return ""
	}
	return joinURL(c.base, *w.Path)
}

func (c *checker) headers(path string, headers map[string]string) map[string]string {
	if len(headers) == 0 {
		return nil
	}
	canonical := make(map[string]string, len(headers))
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		key, err := header.CheckFile(name, headers[name])
		_, twice := canonical[key]
		switch {
		case err != nil:
			c.problem(member(path, name), "%s", err)
		case twice:
			c.problem(member(path, name), "is the same header as another key here")
		}
		canonical[key] = headers[name]
	}
	return canonical
}
