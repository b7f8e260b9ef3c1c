package header_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/header"
)

var (
	connection = []string{
		"Host", "host", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Proxy-Connection",
		"Proxy-Authorization", "proxy-anything", "TE", "Trailer", "Upgrade", "HTTP2-Settings", "Expect", "Accept-Encoding",
		"Content-Encoding", "Idempotency-Key", "x-idempotency-key",
	}
	ours = []string{
		"webhook-id", "Webhook-Signature", "WEBHOOK-TIMESTAMP", "traceparent", "tracestate", "baggage", "hookturn-attempt",
		"Hookturn-Callback", "X-Hub-Signature", "x-hub-signature-256", "x-b3-traceid", "Authorization", "content-type",
		"User-Agent",
	}
	free     = []string{"X-Shop", "x-cm-producttoken", "Cookie", "Accept", "X_Under", "a!b"}
	notNames = []string{"", "a b", "a:b", "a\r\nb", "é", strings.Repeat("x", header.NameMax+1)}
)

func TestPolicy_Names(t *testing.T) {
	t.Parallel()
	for _, name := range free {
		canonical, err := header.CheckFile(name, "v")
		require.NoError(t, err, name)
		require.True(t, strings.EqualFold(name, canonical))
	}
	for _, name := range slices.Concat(connection, ours, notNames) {
		_, err := header.CheckFile(name, "s3cret")
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "s3cret")
	}
	for _, name := range slices.Concat(connection, notNames) {
		_, err := header.CheckSent(name, "v")
		require.Error(t, err, name)
	}
	for _, name := range slices.Concat(ours, free) {
		_, err := header.CheckSent(name, "v")
		require.NoError(t, err, name)
	}
}

func TestPolicy_Values(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"s3cret\r\nX: 1", "s3cret\n", "s3cret\x00", "s3cret\x7f", strings.Repeat("s3cret", 2000)} {
		_, err := header.CheckFile("X-Shop", value)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "s3cret")
		_, err = header.CheckSent("X-Shop", value)
		require.Error(t, err)
		require.Error(t, header.CheckSecret(value))
	}
	for _, value := range []string{" s3cret", "s3cret\t"} {
		_, err := header.CheckFile("X-Shop", value)
		require.ErrorContains(t, err, "begins or ends with a space")
		require.Error(t, header.CheckSecret(value))
	}
	for _, value := range []string{"", "a b\tc", "é", strings.Repeat("x", header.ValueMax)} {
		_, err := header.CheckFile("X-Shop", value)
		require.NoError(t, err)
	}
}

// FuzzPolicy_LoadedIsSendable: what loads with a bot file can be sent.
func FuzzPolicy_LoadedIsSendable(f *testing.F) {
	for _, name := range slices.Concat(connection, ours, free, notNames) {
		f.Add(name, "value")
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		canonical, err := header.CheckFile(name, value)
		if err != nil {
			return
		}
		sent, err := header.CheckSent(canonical, value)
		require.NoError(t, err)
		require.Equal(t, canonical, sent)
	})
}
