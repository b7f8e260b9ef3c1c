package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Starters returns what each live starter has announced, by its key in BucketStarters, without the leases of partitions; and
// the time of the server, the zero time where it is too old to report it. A starter that stops meanwhile is left out.
func (s Streams) Starters(ctx context.Context) (announced map[string]string, now time.Time, err error) {
	prefix, log := "$KV."+BucketStarters+".", s.BucketLog(BucketStarters)
	info, err := log.Info(ctx, jetstream.WithSubjectFilter(prefix+">"))
	if err != nil {
		return nil, now, fmt.Errorf("list the starters: %w", err)
	}
	announced = map[string]string{}
	for subject := range info.State.Subjects {
		key := strings.TrimPrefix(subject, prefix)
		if strings.HasPrefix(key, "partition.") {
			continue
		}
		m, err := log.GetLastMsgForSubject(ctx, subject)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
		case err != nil:
			return nil, now, fmt.Errorf("read the announcement of a starter: %w", err)
		default:
			announced[key] = string(m.Data)
		}
	}
	return announced, info.TimeStamp, nil
}
