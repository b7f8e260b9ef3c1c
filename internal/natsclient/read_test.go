package natsclient

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/natstest"
)

// relay passes the JetStream API on below another prefix, and returns JetStream with that prefix. It loses the responses that
// lost chooses by the number of the request and of the response.
func relay(t *testing.T, nc *nats.Conn, lost func(request, response int) bool) jetstream.JetStream {
	t.Helper()
	const prefix = "RELAY.API."
	requests := 0
	_, err := nc.Subscribe(prefix+">", func(m *nats.Msg) {
		inbox, responses := nats.NewInbox(), 0
		direct := strings.Contains(m.Subject, "DIRECT.GET")
		if direct {
			requests++
		}
		request := requests
		_, err := nc.Subscribe(inbox, func(response *nats.Msg) {
			responses++
			if direct && lost(request, responses) {
				return
			}
			response.Subject = m.Reply
			_ = nc.PublishMsg(response)
		})
		if err == nil {
			_ = nc.PublishRequest("$JS.API."+strings.TrimPrefix(m.Subject, prefix), inbox, m.Data)
		}
	})
	require.NoError(t, err)
	js, err := jetstream.NewWithAPIPrefix(nc, strings.TrimSuffix(prefix, "."))
	require.NoError(t, err)
	return js
}

// TestReadStored_LostResponses: what is lost on the way is read all the same. A list of dead letters or of replies with a
// gap, or that ends early, looks like a whole one.
func TestReadStored_LostResponses(t *testing.T) {
	t.Parallel()
	server, js, stream := setup(t)
	const stored = 2*firstBatch + 3
	for i := range stored {
		m := nats.NewMsg("test.replies.acme.shop.c1")
		m.Header.Set(jetstream.MsgIDHeader, fmt.Sprint("r-", i))
		m.Header.Set("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
		_, err := js.PublishMsg(testContext(t), m)
		require.NoError(t, err)
	}
	first, err := stream.GetMsg(testContext(t), 1)
	require.NoError(t, err)
	first.Header.Del(jetstream.MsgIDHeader)
	for name, lost := range map[string]func(request, response int) bool{
		"nothing":           func(int, int) bool { return false },
		"the first one":     func(request, response int) bool { return request == 1 && response == 1 },
		"one of the first":  func(request, response int) bool { return request == 1 && response == 3 },
		"all of the second": func(request, response int) bool { return request == 2 && response <= stored },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			other, err := nats.Connect(server.ClientURL(), nats.Timeout(soon))
			require.NoError(t, err)
			t.Cleanup(other.Close)
			var read []uint64
			err = Read(testContext(t), relay(t, other, lost), streamOfTest, Query{Next: "test.replies.*.*.*", Sequence: 1},
				func(m *jetstream.RawStreamMsg) (bool, error) {
					require.Equal(t, fmt.Sprint("r-", len(read)), m.Header.Get(jetstream.MsgIDHeader))
					m.Header.Del(jetstream.MsgIDHeader)
					read = append(read, m.Sequence)
					require.Equal(t, first.Header, m.Header, "the headers are those that were stored")
					return true, nil
				})
			require.NoError(t, err)
			require.Len(t, read, stored)
			require.True(t, slices.IsSorted(read))
		})
	}
}

// TestReadStored_UnreadableHeader: messages whose headers cannot be read, or end early, are read with the others.
func TestReadStored_UnreadableHeader(t *testing.T) {
	t.Parallel()
	server, js, stream := setup(t)
	const subject = "test.replies.acme.shop.c1"
	want := []string{"0", "1", "2", "3", "4", "5"}
	for n, header := range []string{
		natstest.UnreadableHeader, "NATS/1.0\r\n\r\n", natstest.UnreadableHeader, natstest.SplitHeader, natstest.SplitHeader, "NATS/1.0\r\n\r\n",
	} {
		natstest.PublishRaw(t, server, subject, header, want[n])
	}
	requireStored(t, stream, uint64(len(want)))
	var read []string
	require.NoError(t, ReadStored(testContext(t), js, streamOfTest, subject, func(m *jetstream.RawStreamMsg) error {
		read = append(read, string(m.Data))
		return nil
	}))
	require.Equal(t, want, read)
}
