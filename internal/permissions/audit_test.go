package permissions

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bus"
	"github.com/hookturn/hookturn/internal/role"
	"github.com/hookturn/hookturn/schemas"
)

// TestRoles_AuditOfOwnersIsKept: who fills the stream of audit events as an operator removes none of the events of what only an
// owner may do, and everyone who reads the audit events reads them.
func TestRoles_AuditOfOwnersIsKept(t *testing.T) {
	t.Parallel()
	r := startRig(t)
	ctx := testContext(t)
	_, setup := r.connect(t, Setup)
	require.NoError(t, bus.Resize(ctx, setup, bus.StreamOptions{Sizes: map[string]int64{"audit": bus.SizeMin}}, func(string, string) {}))
	_, owner := r.connect(t, Operator)
	var want []schemas.AuditAction
	for _, action := range schemas.AuditActions() {
		require.NoError(t, bus.NewAudit(owner).Write(ctx, auditEvent(action)))
		if role.Needs(action) == role.Owner {
			want = append(want, action)
		}
	}
	require.Eventually(t, func() bool { return r.state(t)[bus.StreamOwnerAudit] == uint64(len(want)) }, soon, poll)

	_, tools := r.connect(t, Tools)
	for range 8 {
		_, err := tools.Publish(ctx, schemas.AuditSubject(acmeShop, schemas.AuditBotPause), make([]byte, 512<<10))
		require.NoError(t, err)
	}
	audit, err := owner.Stream(ctx, schemas.StreamAudit)
	require.NoError(t, err)
	_, err = audit.GetMsg(ctx, uint64(len(schemas.AuditActions())))
	require.ErrorIs(t, err, jetstream.ErrMsgNotFound, "the flood has pushed all out of the stream of audit events")
	for _, action := range want {
		require.NoError(t, bus.NewAudit(owner).Write(ctx, auditEvent(action)))
	}
	for _, user := range []string{Look, Tools, Operator} {
		_, js := r.connect(t, user)
		streams, err := bus.Setup(ctx, js, bus.StreamOptions{})
		require.NoError(t, err)
		var got []schemas.AuditAction
		require.NoError(t, bus.ReadAudit(ctx, streams, bus.AuditFilter{}, func(e schemas.AuditEvent) bool {
			got = append(got, e.Data.Action)
			return true
		}))
		require.Equal(t, append(append([]schemas.AuditAction{}, want...), want...), got, "%s reads each once, in order", user)
	}
}
