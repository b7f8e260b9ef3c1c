package store

import (
	"context"

	"github.com/hookturn/hookturn/internal/fault"
	"github.com/hookturn/hookturn/internal/quota"
)

// checkShare returns a fault of a kind when what is stored of a tenant fills half of a stream. When that is unknown, the
// stream decides.
func checkShare(ctx context.Context, of *quota.Quota, tenant string, kind fault.Kind, what string) error {
	if exceeded, _ := of.Exceeded(ctx, tenant); exceeded {
		return fault.New(kind, "the %s of the tenant fill its share, which is half of their store", what)
	}
	return nil
}
