package bot

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDefaults_Documented is the table of the contract, section 3.
func TestDefaults_Documented(t *testing.T) {
	t.Parallel()

	hubSHA1, standard := []string{"hub-sha1"}, []string{"standard"}
	require.Equal(t, defaults{30 * second, 15 * second, 3, OnFailureBotBreak, hubSHA1}, defaultsOf(DialectHaptik))
	require.Equal(t, defaults{20 * second, 20 * second, 1, OnFailureContinue, nil}, defaultsOf(DialectLoyJoy))
	require.Equal(t, defaults{30 * second, 15 * second, 3, OnFailureBotBreak, standard}, defaultsOf(DialectPlain))
	require.Equal(t, defaults{60 * second, 10 * second, 4, OnFailureUndelivered, nil}, defaultsOf(DialectTwoWay))
}

func TestDefaults_HumanAssistance(t *testing.T) {
	t.Parallel()

	c := &checker{file: &file{HumanAssistance: true}}
	require.Equal(t, OnFailureHandover, c.onFailure(DialectHaptik))
	require.Equal(t, OnFailureContinue, c.onFailure(DialectLoyJoy))
	require.Equal(t, OnFailureHandover, c.onFailure(DialectPlain))
	require.Equal(t, OnFailureUndelivered, c.onFailure(DialectTwoWay))
}
