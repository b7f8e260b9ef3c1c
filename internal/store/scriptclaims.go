package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/natsclient"
	"github.com/hookturn/hookturn/schemas"
)

// ScriptClaims store which code worker has begun the script of a run, for ten minutes. A run may take longer: Since returns
// from when on claims are stored. They are in the bucket of posted events, which have the rate of what comes over HTTP, too,
// and leave a quarter to claims.
type ScriptClaims struct {
	bucket jetstream.KeyValue
	log    jetstream.Stream
}

const (
	scriptClaimPrefix = "script."
	// claimReads and claimReadPause are for reading a claim from a replica that does not have it yet.
	claimReads     = 20
	claimReadPause = 25 * time.Millisecond
)

// NewScriptClaims returns a new ScriptClaims on an account's streams.
func NewScriptClaims(s bus.Streams) *ScriptClaims {
	return &ScriptClaims{bucket: s.Bucket(bus.BucketPosted), log: s.BucketLog(bus.BucketPosted)}
}

// Since returns the moment, by the clock of NATS, before which claims are not stored: they have expired, or the bucket was
// lost and created again.
func (c *ScriptClaims) Since(ctx context.Context) (time.Time, error) {
	info, err := c.log.Info(ctx)
	if err != nil {
		return time.Time{}, fmt.Errorf("look at the bucket of claims: %w", err)
	}
	return claimedSince(info), nil
}

func claimedSince(info *jetstream.StreamInfo) time.Time {
	if info.Config.MaxAge <= 0 {
		return info.Created
	}
	if expired := info.TimeStamp.Add(-info.Config.MaxAge); expired.After(info.Created) {
		return expired
	}
	return info.Created
}

// Pass changes the holder of the claim of a run, which the caller has. After an error the caller may have it no longer.
func (c *ScriptClaims) Pass(ctx context.Context, owner schemas.BotID, id, holder string) error {
	if _, err := c.bucket.Put(ctx, claimKey(owner, id), []byte(holder)); err != nil {
		return fmt.Errorf("pass the claim of a script on: %w", err)
	}
	return nil
}

func claimKey(owner schemas.BotID, id string) string {
	return scriptClaimPrefix + schemas.IDOf("script", owner.WithConversation(""), id)
}

// Claim records that a code worker begins the script of a run, unless one has. It returns which one has the claim, and
// whether this call created it. After an error the claim may be stored all the same.
func (c *ScriptClaims) Claim(
	ctx context.Context, owner schemas.BotID, id, worker string,
) (holder string, created bool, err error) {
	key := claimKey(owner, id)
	if _, err = c.bucket.Create(ctx, key, []byte(worker)); err == nil {
		return worker, true, nil
	}
	if !natsclient.IsConflict(err) {
		return "", false, fmt.Errorf("claim a script: %w", err)
	}
	for range claimReads {
		stored, err := c.bucket.Get(ctx, key)
		if err == nil {
			return string(stored.Value()), false, nil
		}
		if !errors.Is(err, jetstream.ErrKeyNotFound) {
			return "", false, fmt.Errorf("read the claim of a script: %w", err)
		}
		select {
		case <-time.After(claimReadPause):
		case <-ctx.Done():
			return "", false, ctx.Err()
		}
	}
	return "", false, errors.New("read the claim of a script: not found")
}
