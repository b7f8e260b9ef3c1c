package bus

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/internal/natstest"
	"github.com/hookturn/hookturn/schemas"
)

// TestUpkeep_FullStore: readiness, a metric and a log line tell of a store that takes nothing, and of its end.
func TestUpkeep_FullStore(t *testing.T) {
	t.Parallel()
	srv := natstest.Start(t, func(o *server.Options) { o.JetStreamMaxStore = 8 << 20 })
	js := connectTo(t, srv)
	_, err := setUpSmall(testContext(t), js)
	require.NoError(t, err)
	require.NoError(t, Ready(testContext(t), js))

	var mu sync.Mutex
	reasons := map[string]int{}
	ObserveWrites(js, func(reason string) { mu.Lock(); defer mu.Unlock(); reasons[reason]++ })
	payload := make([]byte, 256<<10)
	require.Eventually(t, func() bool {
		if _, err := js.Publish(testContext(t), "hookturn.replies.a.b.c", payload); err == nil {
			return false
		}
		err := Ready(testContext(t), js)
		return err != nil && strings.Contains(err.Error(), "jetstream does not store")
	}, soon, time.Millisecond)
	mu.Lock()
	require.Positive(t, reasons[ReasonNoSpace], "%v", reasons)
	mu.Unlock()
	stream, err := js.Stream(testContext(t), schemas.StreamReplies)
	require.NoError(t, err)
	require.NoError(t, stream.Purge(testContext(t)))
	require.Eventually(t, func() bool { return Ready(testContext(t), js) == nil }, soon, poll,
		"it has room again, though nothing was published")
}

// TestUpkeep_FullOfTenants: a bucket that one tenant fills leaves every process ready, since all tenants share them. One that
// hookturn itself fills does not.
func TestUpkeep_FullOfTenants(t *testing.T) {
	t.Parallel()
	sizes := map[string]int64{}
	for _, size := range Sizes() {
		sizes[size.Name] = SizeMin
	}
	_, js, streams := setup(t, StreamOptions{Sizes: sizes})
	payload := make([]byte, 512<<10)
	fill := func(stream string) {
		bucket, isBucket := strings.CutPrefix(stream, "KV_")
		var err error
		for n := 0; err == nil && n < 10; n++ {
			switch {
			case isBucket:
				_, err = streams.Bucket(bucket).Put(testContext(t), fmt.Sprint("k", n), payload)
			case stream == filesStream:
				_, err = streams.Files().PutBytes(testContext(t), fmt.Sprint("f", n), payload)
			case stream == StreamQueues:
				_, err = js.Publish(testContext(t), fmt.Sprintf("%s.a.b.c%d", SubjectQueues, n), payload)
			default:
				_, err = js.Publish(testContext(t), fmt.Sprintf("%s.a.b.c%d", schemas.SubjectEvents, n), payload)
			}
		}
		require.True(t, natsclient.IsStreamFull(err), "%s: %v", stream, err)
	}
	for _, stream := range filledByTenants() {
		fill(stream)
		require.NoError(t, Ready(testContext(t), js), stream)
	}
	fill("KV_" + BucketStarters)
	require.ErrorContains(t, Ready(testContext(t), js), "latest write to stream KV_"+BucketStarters+" rejected")
}

// setUpSmall creates streams without reservations, which a small store could not grant.
func setUpSmall(ctx context.Context, js jetstream.JetStream) (Streams, error) {
	small := func(c jetstream.StreamConfig) jetstream.StreamConfig { c.MaxBytes = 0; return c }
	o := StreamOptions{}.withDefaults()
	for _, c := range []jetstream.StreamConfig{
		small(eventsConfig(o, 1<<20)), small(queuesConfig(o)), small(repliesConfig(o)), small(deadLettersConfig(o)),
		small(auditConfig(o)), small(ownerAuditConfig(o)),
	} {
		if _, err := js.CreateStream(ctx, c); err != nil {
			return Streams{}, err
		}
	}
	for _, bucket := range bucketConfigs(o) {
		if _, err := js.CreateKeyValue(ctx, bucket); err != nil {
			return Streams{}, err
		}
	}
	if _, err := js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: BucketFiles}); err != nil {
		return Streams{}, err
	}
	return Setup(ctx, js, o)
}

func TestWriteFailure(t *testing.T) {
	t.Parallel()
	api := func(code jetstream.ErrorCode, text string) error {
		return &jetstream.APIError{Code: 503, ErrorCode: code, Description: text}
	}
	for want, errs := range map[string][]error{
		"": {nil, jetstream.ErrKeyExists, context.Canceled, nats.ErrMaxPayload, api(10054, "x"), api(10097, "x")},
		ReasonStreamFull: {api(10077, "maximum bytes exceeded"), api(10077, "maximum messages per subject exceeded"),
			api(10167, "too many requests")},
		ReasonNoSpace:  {api(10023, "insufficient resources"), api(10047, "x"), api(10077, "no space left on device"), api(10077, "write failed")},
		ReasonNoStream: {jetstream.ErrNoStreamResponse, jetstream.ErrStreamNotFound},
		ReasonTimeout:  {context.DeadlineExceeded, jetstream.ErrAsyncPublishTimeout},
		ReasonRefused:  {api(10109, "not allowed")},
	} {
		for _, err := range errs {
			require.Equal(t, want, writeFailure(err), "%v", err)
			if want != "" {
				require.Contains(t, WriteFailureReasons(), want)
			}
		}
	}
}

// TestUpkeep_TooManyRequests: an engine that sends more than the event stream can store leaves the processes ready.
func TestUpkeep_TooManyRequests(t *testing.T) {
	t.Parallel()
	_, js, _ := setup(t, StreamOptions{})
	tooMany := &jetstream.APIError{Code: 429, ErrorCode: 10167, Description: "too many requests"}
	upkeepOf(js).wrote(schemas.StreamEvents, tooMany)
	require.NoError(t, Ready(testContext(t), js))
	require.Equal(t, fault.QueueFull, fault.Of(publishError(tooMany, nats.NewMsg(schemas.SubjectEvents+".acme.shop.c"))).Kind, "what it stores must not be tried again at once")
	var permanent *backoff.PermanentError
	require.NotErrorAs(t, publishError(tooMany, nats.NewMsg(schemas.SubjectReplies+".acme.shop.c")), &permanent, "a reply is repeated")
	upkeepOf(js).wrote(schemas.StreamEvents, &jetstream.APIError{Code: 503, ErrorCode: 10109, Description: "not allowed"})
	require.Error(t, Ready(testContext(t), js))
}
