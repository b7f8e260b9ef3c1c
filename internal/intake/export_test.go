package intake

import (
	"context"
	"errors"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// SetTried returns a new event one that was tried before, since a time.
func (i *Intake) SetTried(sequence uint64, since time.Time) { i.tries.failed(sequence, since) }

// RecoverTwice looks for runs that ended early twice, as the loop does.
func (i *Intake) RecoverTwice(ctx context.Context) error {
	done, _ := lru.New[string, struct{}](recoveredKept)
	return errors.Join(i.recoverSince(ctx, time.Now(), done), i.recoverSince(ctx, time.Now(), done))
}
