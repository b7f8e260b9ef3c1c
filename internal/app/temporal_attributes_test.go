package app

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTemporal_CommandForAttributes: an operator whose server does not let hookturn add the search attributes runs the
// command of the log line, which docs/operations/install.md has as well.
func TestTemporal_CommandForAttributes(t *testing.T) {
	t.Parallel()
	require.Equal(t, "temporal operator search-attribute create --namespace chat --name HookturnBot --type Keyword "+
		"--name HookturnConversation --type Keyword --name HookturnFailures --type Int --name HookturnOutcome --type Keyword "+
		"--name HookturnStep --type Keyword --name HookturnTenant --type Keyword --name HookturnUser --type Keyword",
		createAttributes("chat", searchAttributes()))
}
