package activities_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
	"github.com/hookturn/hookturn/internal/egress"
	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/secret"
	"github.com/hookturn/hookturn/internal/signature"
	"github.com/hookturn/hookturn/internal/step"
	"github.com/hookturn/hookturn/schemas"
)

func TestSign_RequestCarriesWhatTheContractNames(t *testing.T) {
	t.Parallel()
	b := setup(t)
	result, err := b.call(b.input(t, "BEARER"))
	require.NoError(t, err)
	require.True(t, result.Success)
	require.Equal(t, []schemas.Message{schemas.Text("ok")}, result.Messages)
	r := b.requests[0]
	require.Equal(t, "https://shop.example/orders", r.URL)
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Authorization": "Bearer token", "X-Shop": "1", "Webhook-Id": "e1",
		"Hookturn-Attempt": "1", "Traceparent": "00-1-2-01", "Tracestate": "a=b",
	} {
		require.Equal(t, want, r.Header.Get(name), name)
	}
	require.Empty(t, r.Header.Get("X-Hub-Signature"), "no secret, no signature")
}

func TestSign_SignatureIsOverTheBytesSent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.call(b.input(t, "SIGNED"))
	require.NoError(t, err)
	_, err = b.call(b.input(t, "ROTATED"))
	require.NoError(t, err)
	signed, rotated := b.requests[0], b.requests[1]
	key := []secret.Value{secret.New("hunter2")}
	require.NoError(t, signature.Verify(signed.Header, signature.HubSHA1, key, time.Now(), signed.Body))
	for _, old := range []string{"new secret", "old secret"} {
		one := []secret.Value{secret.New(old)}
		require.NoError(t, signature.Verify(rotated.Header, signature.Standard, one, time.Now(), rotated.Body), old)
	}
}

func TestSign_WebhookIDIsAlwaysSignable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.input(t, "ROTATED")
	in.Event.ID = "engine.7/ä b"
	_, err := b.call(in)
	require.NoError(t, err)
	in.Progress.Attempts = make([]schemas.Attempt, 1)
	_, err = b.call(in)
	require.NoError(t, err)
	require.Equal(t, b.requests[0].Header.Get("Webhook-Id"), b.requests[1].Header.Get("Webhook-Id"))
	require.Len(t, b.requests[0].Header.Get("Webhook-Id"), 36)
}

// TestWebhook_RotationRetry: an endpoint that knows one value of the secret gets the next one after a 401, each in an
// attempt.
func TestWebhook_RotationRetry(t *testing.T) {
	t.Parallel()
	signed := func(r egress.Request, key string) bool {
		return signature.Verify(r.Header, signature.HubSHA1, []secret.Value{secret.New(key)}, time.Now(), r.Body) == nil
	}
	b := setup(t)
	b.answer = func(n int) (*egress.Response, error) { return response(http.StatusUnauthorized, ""), nil }
	in := b.input(t, "SIGNED")
	hook := *in.Plan.Webhook
	hook.Secret, hook.Rotation, hook.Signature, hook.Retry.MaxAttempts = "rotated", bot.RotationRetry, []string{"hub-sha1"}, 9
	in.Plan.Webhook = &hook
	_, err := b.call(in)
	p := progress(t, err)
	require.True(t, signed(b.requests[0], "new secret"))
	require.Positive(t, p.RetryIn, "the old value was not tried")

	in.Progress = step.Progress{Attempts: p.Attempts}
	_, err = b.again().call(in)
	p = progress(t, err)
	require.True(t, signed(b.requests[1], "old secret"))
	require.Len(t, p.Attempts, 2)
	require.Zero(t, p.RetryIn, "no value is left")

	hook.Rotation, in.Progress = "", step.Progress{}
	in.Event.ID = "another"
	_, err = b.again().call(in)
	require.Zero(t, progress(t, err).RetryIn, "a 401 is final unless the bot file changes that")
}

// TestWebhook_UnknownSecret: the starter may have loaded a new bot file before this worker does.
func TestWebhook_UnknownSecret(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, change := range map[string]func(*bot.Plan){
		"secret": func(p *bot.Plan) { p.Webhook.Secret = "lost" },
		"bot":    func(p *bot.Plan) { p.Bot = "lost" },
		"token":  func(p *bot.Plan) { p.Webhook.Authorization = "lost" },
		"client": func(p *bot.Plan) { p.Webhook.OAuth2 = &bot.OAuth2{ClientSecret: "lost"} },
		"tls":    func(p *bot.Plan) { p.Webhook.TLS = &bot.TLS{CA: "lost"} },
	} {
		in := b.input(t, "SIGNED")
		hook := *in.Plan.Webhook
		in.Plan.Webhook = &hook
		hook.Retry.MaxAttempts = 1 // no request is made, so none of them is used up
		change(&in.Plan)
		_, err := b.call(in)
		p := progress(t, err)
		require.Equal(t, fault.Config, p.Fault.Kind, name)
		require.GreaterOrEqual(t, p.RetryIn, 500*time.Millisecond, name)
		require.Empty(t, p.Attempts, name)
		require.Empty(t, b.requests, name)

		in.Deadline = time.Now().Add(300 * time.Millisecond)
		_, err = b.call(in)
		require.Zero(t, progress(t, err).RetryIn, "%s: the step's deadline ends it", name)
	}
}
