package pubsub

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/schemas"
)

func TestPubSub(t *testing.T) {
	t.Parallel()
	js := setup(t)
	p, ctx := New(js), testContext(t)
	received := make(chan string, 10)
	stop, err := p.Notices(schemas.BotID{Tenant: "acme", Bot: "shop"}, "orders.*", func(class string, notice []byte) { received <- class + " " + string(notice) })
	require.NoError(t, err)
	require.NoError(t, p.Notify(schemas.BotID{Tenant: "acme", Bot: "shop"}, "stock.low", []byte("1")))
	require.NoError(t, p.Notify(schemas.BotID{Tenant: "acme", Bot: "other"}, "orders.paid", []byte("2")))
	require.NoError(t, p.Notify(schemas.BotID{Tenant: "acme", Bot: "shop"}, "orders.paid", []byte("3")))
	require.Equal(t, "orders.paid 3", <-received)
	stop()
	require.NoError(t, p.Notify(schemas.BotID{Tenant: "acme", Bot: "shop"}, "orders.paid", make([]byte, schemas.NoticeMax)))
	require.Equal(t, fault.TooLarge,
		fault.Of(p.Notify(schemas.BotID{Tenant: "acme", Bot: "shop"}, "orders.paid", make([]byte, schemas.NoticeMax+1))).Kind)
	_, err = p.Request(ctx, "unknown", make([]byte, 3<<20))
	require.Equal(t, fault.TooLarge, fault.Of(err).Kind)
	_, err = p.Request(ctx, "unknown", []byte("x"))
	require.ErrorContains(t, err, "no such connection")
	end, err := p.Respond("socket", func(request []byte) []byte { return append(request, '!') })
	require.NoError(t, err)
	defer end(ctx)
	answer, err := p.Request(ctx, "socket", []byte("x"))
	require.NoError(t, err)
	require.Equal(t, "x!", string(answer))
}

// TestPubSub_Subscribed publishes over another connection, whose messages the server may handle before a subscription that
// has just been sent. While the server is away, no subscription is confirmed.
func TestPubSub_Subscribed(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t)
	p, other, shop := New(connectTo(t, srv)), New(connectTo(t, srv)), schemas.BotID{Tenant: "acme", Bot: "shop"}
	for range 200 {
		received := make(chan string, 1)
		stop, err := p.Notices(shop, "a", func(_ string, notice []byte) { received <- string(notice) })
		require.NoError(t, err)
		require.NoError(t, p.Subscribed(testContext(t)))
		require.NoError(t, other.Notify(shop, "a", []byte("1")))
		select {
		case <-received:
		case <-testContext(t).Done():
			require.Fail(t, "the notice was published before NATS had the subscription")
		}
		stop()
	}
	srv.Shutdown()
	srv.WaitForShutdown()
	require.Error(t, p.Subscribed(testContext(t)))
}

// TestPubSub_RequestsAnsweredAtStop: a responder that stops answers the requests that wait behind a long one, and stop waits
// for them unless its context has ended.
func TestPubSub_RequestsAnsweredAtStop(t *testing.T) {
	t.Parallel()
	js := setup(t)
	p, ctx, nc := New(js), testContext(t), js.Conn()
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for _, waits := range []bool{false, true} {
		begun, release := make(chan struct{}, 3), make(chan struct{})
		var answered atomic.Int64
		stop, err := p.Respond("socket", func(request []byte) []byte {
			begun <- struct{}{}
			<-release
			answered.Add(1)
			return request
		})
		require.NoError(t, err)
		answers, err := nc.SubscribeSync(nc.NewInbox())
		require.NoError(t, err)
		for range 3 {
			require.NoError(t, nc.PublishRequest(subjectSockets+".socket", answers.Subject, []byte("x")))
		}
		<-begun
		require.NoError(t, nc.Flush()) // the others have been delivered, too
		if waits {
			close(release)
			stop(ctx)
			require.EqualValues(t, 3, answered.Load())
		} else {
			stop(ended)
			close(release)
		}
		for range 3 {
			_, err := answers.NextMsgWithContext(ctx)
			require.NoError(t, err)
		}
	}
}

func TestPubSub_Scripts(t *testing.T) {
	t.Parallel()
	js := setup(t)
	p, ctx := New(js), testContext(t)
	shop := schemas.BotID{Tenant: "acme", Bot: "shop"}
	_, err := p.CallScript(ctx, shop, []byte("x"))
	require.Equal(t, fault.SandboxUnavailable, fault.Of(err).Kind)

	begun, release := make(chan struct{}, 2), make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	defer free()
	var answered atomic.Int64
	serve := func() func(context.Context) {
		stop, err := p.ServeScripts(1, func(request []byte, most int) []byte {
			require.Positive(t, most)
			begun <- struct{}{}
			<-release
			answered.Add(1)
			return append(request, '!')
		}, []byte("busy"))
		require.NoError(t, err)
		return stop
	}
	stop := serve()
	first := make(chan string, 1)
	go func() {
		answer, _ := p.CallScript(ctx, shop, []byte("x"))
		first <- string(answer)
	}()
	select {
	case <-begun:
	case answer := <-first:
		require.Fail(t, "a worker does not run its first script", answer)
	}
	second := make(chan string, 1)
	go func() {
		answer, _ := p.CallScript(ctx, shop, []byte("y"))
		second <- string(answer)
	}()
	select {
	case answer := <-second:
		require.Equal(t, "busy", answer, "a worker answers what it has no place for")
	case <-begun:
		require.Fail(t, "a script runs without a place")
	}

	stopped := make(chan struct{})
	go func() { stop(ctx); close(stopped) }()
	free()
	require.Equal(t, "x!", <-first, "a worker that stops answers what it has begun")
	<-stopped

	defer serve()(ctx)
	defer serve()(ctx)
	answered.Store(0)
	for range 20 {
		answer, err := p.CallScript(ctx, shop, []byte("z"))
		require.NoError(t, err)
		require.Equal(t, "z!", string(answer))
		<-begun
	}
	require.EqualValues(t, 20, answered.Load(), "one of several workers gets a request")
	_, err = p.CallScript(ctx, shop, make([]byte, 3<<20))
	require.Equal(t, fault.TooLarge, fault.Of(err).Kind)
}

// TestPubSub_ScriptsOfTenants: one tenant has half of a worker's places, and they are free again afterwards.
func TestPubSub_ScriptsOfTenants(t *testing.T) {
	t.Parallel()
	js := setup(t)
	p, ctx := New(js), testContext(t)
	begun, release := make(chan struct{}, 4), make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	defer free()
	stop, err := p.ServeScripts(4, func(request []byte, _ int) []byte {
		begun <- struct{}{}
		<-release
		return request
	}, []byte("busy"))
	require.NoError(t, err)
	answers := make(chan string, 4)
	// runs reports whether a script of the tenant begins; false: it is answered, with the text that is returned.
	runs := func(tenant string) (answer string, begins bool) {
		go func() {
			answer, err := p.CallScript(ctx, schemas.BotID{Tenant: tenant, Bot: "shop"}, []byte("done"))
			if err != nil {
				answer = []byte(err.Error())
			}
			answers <- string(answer)
		}()
		select {
		case answer = <-answers:
			return answer, false
		case <-begun:
			return "", true
		}
	}
	for range 2 {
		answer, begins := runs("acme")
		require.True(t, begins, answer)
	}
	answer, begins := runs("acme")
	require.False(t, begins, "a tenant has more than its half of the places")
	require.Equal(t, "busy", answer)
	answer, begins = runs("globex")
	require.True(t, begins, "another tenant has no place: %s", answer)
	free()
	for range 3 {
		require.Equal(t, "done", <-answers)
	}
	stop(ctx)
}

// TestPubSub_ScriptsStop stops a worker while requests are on their way to it. Each is answered, or has no worker.
func TestPubSub_ScriptsStop(t *testing.T) {
	t.Parallel()
	js := setup(t)
	p, shop := New(js), schemas.BotID{Tenant: "acme", Bot: "shop"}
	const requests = 2000
	stop, err := p.ServeScripts(requests, func(request []byte, _ int) []byte { return request }, nil)
	require.NoError(t, err)
	var answered, gone atomic.Int64
	var all sync.WaitGroup
	quarter := make(chan struct{})
	for range requests {
		all.Go(func() {
			_, err := p.CallScript(testContext(t), shop, []byte("x"))
			switch {
			case err == nil:
				if answered.Add(1) == requests/4 {
					close(quarter)
				}
			case fault.Of(err).Kind == fault.SandboxUnavailable:
				gone.Add(1)
			}
		})
	}
	<-quarter
	stop(testContext(t))
	all.Wait()
	require.EqualValues(t, requests, answered.Load()+gone.Load())
}

func TestPubSub_Advise(t *testing.T) {
	t.Parallel()
	js := setup(t)
	sub, err := js.Conn().SubscribeSync(schemas.SubjectAdvisories + ".acme.>")
	require.NoError(t, err)
	require.NoError(t, New(js).Advise(schemas.BotID{Tenant: "acme", Bot: "shop"}, []byte("{}")))
	m, err := sub.NextMsgWithContext(testContext(t))
	require.NoError(t, err)
	require.Equal(t, "hookturn.advisories.acme.shop", m.Subject)
	require.Equal(t, "{}", string(m.Data))
}
