package role

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/schemas"
)

// TestRole_Actions is the table of docs/security.md: v = viewer, o = operator, w = owner.
func TestRole_Actions(t *testing.T) {
	t.Parallel()
	table := map[schemas.AuditAction]string{
		schemas.AuditBotPause: "ow", schemas.AuditBotResume: "ow", schemas.AuditEndpointPause: "ow",
		schemas.AuditEndpointResume: "ow", schemas.AuditDeadLettersReplay: "ow", schemas.AuditStepsRepeat: "ow",
		schemas.AuditConversationsCancel: "ow", schemas.AuditChannelCreate: "ow", schemas.AuditChannelChange: "ow",
		schemas.AuditChannelToken: "w", schemas.AuditChannelDelete: "w", schemas.AuditErase: "w",
		schemas.AuditDeploymentPromote: "w", schemas.AuditSetup: "w",
		schemas.AuditPayloadsDecrypt: "w",
	}
	require.Len(t, table, len(schemas.AuditActions()))
	for action, want := range table {
		got := ""
		if Operator.May(action) {
			got += "o"
		}
		if Owner.May(action) {
			got += "w"
		}
		require.Equal(t, want, got, action)
		require.False(t, Viewer.May(action), action)
		require.False(t, Role("admin").May(action), action)
	}
	require.Empty(t, Viewer.Actions())
	require.Equal(t, schemas.AuditActions(), Owner.Actions())
	require.Equal(t, Owner, Needs("of a later release"))
}
