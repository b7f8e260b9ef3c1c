package conformance

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/hookturn/hookturn/internal/signature"
)

// checks are all checks, in their order.
func (s *suite) checks() []func(context.Context) (Check, error) {
	with := func(change func(*call)) func() (call, error) {
		return func() (call, error) {
			c := s.newCall()
			change(&c)
			return c, nil
		}
	}
	return []func(context.Context) (Check, error){
		s.valid,
		s.signed("wrong_signature", with(func(c *call) { c.secret = otherSecret() })),
		s.signed("missing_signature", with(func(c *call) { c.unsigned = true })),
		s.replayed,
		s.sameID,
		s.served("slow_request", with(func(c *call) { c.slowly = true })),
		s.served("large_request", s.large),
		s.served("unicode", with(func(c *call) { c.text = unusual })),
		s.served("unknown_members", with(func(c *call) { c.extra = true })),
		s.contentType,
	}
}

const (
	wantServed   = "a good status, and an answer of the dialect"
	wantRejected = "a status from 400 to 499"
)

// valid is the request as hookturn sends it.
func (s *suite) valid(ctx context.Context) (Check, error) {
	began := time.Now()
	c, err := s.served("valid", func() (call, error) { return s.newCall(), nil })(ctx)
	if c.Result == Pass && time.Since(began) > slowEnough {
		c.Result, c.Detail = Warn, fmt.Sprintf("the answer took longer than %s: a person waits for it", slowEnough)
	}
	return c, err
}

// served checks that a request gets a good answer.
func (s *suite) served(name string, request func() (call, error)) func(context.Context) (Check, error) {
	return func(ctx context.Context) (Check, error) {
		wanted, err := request()
		if err != nil {
			return Check{}, err
		}
		g, err := s.send(ctx, wanted)
		return s.judgeServed(name, g), err
	}
}

func (s *suite) judgeServed(name string, g got) Check {
	c := Check{Name: name, Result: Pass, Expected: wantServed, Status: g.status}
	if g.failed == nil {
		return c
	}
	c.Result, c.Kind = Fail, g.failed.Kind
	switch {
	case g.status == 0:
		c.Detail = "no answer: " + g.failed.Message
	case !s.Dialect.GoodStatus(g.status):
		c.Detail = "the status is not a good one for the dialect: " + g.failed.Message
	default:
		c.Detail = "the answer cannot be used: " + g.failed.Message
	}
	return c
}

// signed checks that a request without a valid signature is rejected.
func (s *suite) signed(name string, request func() (call, error)) func(context.Context) (Check, error) {
	return func(ctx context.Context) (Check, error) {
		if s.Secret.IsZero() || len(s.Schemes) == 0 {
			return Check{
				Name: name, Result: Skip, Expected: wantRejected, Detail: "requests are not signed: set --secret and --scheme",
			}, nil
		}
		wanted, err := request()
		if err != nil {
			return Check{}, err
		}
		g, err := s.send(ctx, wanted)
		return judgeRejected(name, g), err
	}
}

func judgeRejected(name string, g got) Check {
	c := Check{Name: name, Result: Pass, Expected: wantRejected, Status: g.status}
	switch {
	case g.status == 0:
		c.Result, c.Kind, c.Detail = Fail, g.failed.Kind, "no answer: "+g.failed.Message
	case g.status < http.StatusBadRequest:
		c.Result, c.Detail = Fail, "the endpoint serves a request that did not come from hookturn"
	case g.status >= http.StatusInternalServerError, g.status == http.StatusTooManyRequests,
		g.status == http.StatusRequestTimeout:
		c.Result, c.Detail = Fail, "hookturn would repeat the request: answer 401"
	case g.status == http.StatusGone:
		c.Result, c.Detail = Fail, "410 disables the endpoint: answer 401"
	}
	return c
}

// replayed sends a request that was signed an hour ago.
func (s *suite) replayed(ctx context.Context) (Check, error) {
	const name = "replayed_timestamp"
	if !slices.Contains(s.Schemes, signature.Standard) {
		return Check{
			Name: name, Result: Skip, Expected: wantRejected, Detail: "only the scheme standard has a timestamp",
		}, nil
	}
	return s.signed(name, func() (call, error) {
		c := s.newCall()
		c.at = c.at.Add(-replayed)
		return c, nil
	})(ctx)
}

// sameID sends a request twice, as hookturn does when an answer was lost.
func (s *suite) sameID(ctx context.Context) (Check, error) {
	again := s.newCall()
	first, err := s.send(ctx, again)
	if err != nil {
		return Check{}, err
	}
	second, err := s.send(ctx, again)
	c := s.judgeServed("same_id_twice", second)
	c.Expected = wantServed + ", the same as to the first request"
	if c.Result == Pass && !s.ignoresBody() && !bytes.Equal(first.body, second.body) {
		c.Result, c.Detail = Warn, "the second answer differs: remember the answer to each webhook-id, and do the work once"
	}
	return c, err
}

// contentType sends JSON under another name.
func (s *suite) contentType(ctx context.Context) (Check, error) {
	wrong := s.newCall()
	wrong.media = "text/plain"
	g, err := s.send(ctx, wrong)
	c := Check{Name: "wrong_content_type", Result: Pass, Expected: wantRejected + ", 415 is the usual one", Status: g.status}
	switch {
	case g.status == 0:
		c.Result, c.Kind, c.Detail = Fail, g.failed.Kind, "no answer: "+g.failed.Message
	case g.status >= http.StatusInternalServerError:
		c.Result, c.Detail = Fail, "an error of the client is answered as one of the server"
	case g.status < http.StatusBadRequest:
		c.Result, c.Detail = Warn, "the endpoint serves a request of any content type"
	}
	return c, err
}
