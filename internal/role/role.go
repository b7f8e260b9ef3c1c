// Package role is what operators may do: the one table of roles and actions, which the admin API, the tools and the NATS
// permissions follow.
package role

import (
	"slices"

	"github.com/hookturn/hookturn/schemas"
)

// Role is what an operator may do; each role includes those before it.
type Role string

// The roles, from the least to the most.
const (
	Viewer   Role = "viewer"   // looks
	Operator Role = "operator" // and keeps the traffic going: pauses, replays, repeats, cancels, creates and changes channels
	Owner    Role = "owner"    // and destroys, reads encrypted content, and changes the installation
)

// Roles returns every role, from the least to the most.
func Roles() []Role { return []Role{Viewer, Operator, Owner} }

// Known reports whether r is a role.
func (r Role) Known() bool { return slices.Contains(Roles(), r) }

// Includes reports whether the role may do what another one may.
func (r Role) Includes(other Role) bool {
	return slices.Index(Roles(), r) >= slices.Index(Roles(), other)
}

// Needs returns the role that an action needs.
func Needs(action schemas.AuditAction) Role {
	switch action {
	case schemas.AuditBotPause, schemas.AuditBotResume, schemas.AuditEndpointPause, schemas.AuditEndpointResume,
		schemas.AuditDeadLettersReplay, schemas.AuditStepsRepeat, schemas.AuditConversationsCancel,
		schemas.AuditChannelCreate, schemas.AuditChannelChange:
		return Operator
	default: // what is new needs the most until it is decided
		return Owner
	}
}

// May reports whether a role may do an action.
func (r Role) May(action schemas.AuditAction) bool { return r.Known() && r.Includes(Needs(action)) }

// Actions returns the actions that a role may do.
func (r Role) Actions() []schemas.AuditAction {
	var may []schemas.AuditAction
	for _, action := range schemas.AuditActions() {
		if r.May(action) {
			may = append(may, action)
		}
	}
	return may
}
