package cli_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/cli"
	"github.com/hookturn/hookturn/internal/secret"
	"github.com/hookturn/hookturn/internal/signature"
)

// captured returns the flags of a request that was signed at a time.
func captured(t *testing.T, body string, at time.Time, schemes ...signature.Scheme) []string {
	t.Helper()
	h := http.Header{}
	require.NoError(t, signature.Sign(h, schemes, []secret.Value{secret.New("example")}, "e-1", at, []byte(body)))
	args := []string{"verify-signature"}
	for name := range h {
		args = append(args, "--header", name+": "+h.Get(name))
	}
	return args
}

func TestVerifySignature(t *testing.T) {
	t.Parallel()
	const body = `{"a":1}`
	old := time.Now().Add(-time.Hour)
	now := slices.Clip(captured(t, body, time.Now(), signature.Schemes()...))
	past := slices.Clip(captured(t, body, old, signature.Standard))
	at := strconv.FormatInt(old.Unix(), 10)
	for name, c := range map[string]struct {
		args   []string
		body   string
		status int
		want   string
	}{
		"valid":                 {append(now, "--secret", "example"), body, 0, "standard: valid"},
		"any of the secrets":    {append(now, "--secret", "new", "--secret", "example"), body, 0, "hub-sha1: valid"},
		"other secret":          {append(now, "--secret", "other"), body, 4, "check the secret"},
		"line break at the end": {append(now, "--secret", "example"), body + "\n", 4, "ends with a line break"},
		"old":                   {append(past, "--secret", "example"), body, 4, "use --at"},
		"old, at its time":      {append(past, "--secret", "example", "--at", at), body, 0, "valid"},
		"old, RFC 3339":         {append(past, "--secret", "example", "--at", old.Format(time.RFC3339)), body, 0, "valid"},
		"old, any time":         {append(past, "--secret", "example", "--any-time"), body, 0, "valid"},
		"scheme without header": {append(past, "--secret", "example", "--scheme", "hub-sha1"), body, 4, "signature header missing"},
		"no signature":          {[]string{"verify-signature", "--secret", "example"}, body, 4, "does not have a signature"},
		"no secret":             {now, body, 2, "missing --secret"},
		"bad header":            {append(now, "--secret", "example", "--header", "x"), body, 2, "invalid --header"},
		"bad time":              {append(now, "--secret", "example", "--at", "soon"), body, 2, "invalid --at"},
		"no body":               {append(now, "--secret", "example", "--body", "/none"), body, 3, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &world{in: c.body}
			require.Equal(t, c.status, w.run(testContext(t), cli.StarterCommand(), c.args...), "%s %s", &w.out, &w.err)
			require.Contains(t, w.out.String()+w.err.String(), c.want)
			require.NotContains(t, w.out.String()+w.err.String(), "example\"")
		})
	}
	file := directory(t, map[string]string{"body": body}) + "/body"
	w := &world{}
	require.Zero(t, w.run(testContext(t), cli.StarterCommand(), append(now, "--secret", "example", "--output", "json", "--body", file)...))
	var result struct {
		Valid   bool
		Results []struct{ Scheme string }
	}
	require.NoError(t, json.Unmarshal([]byte(w.out.String()), &result))
	require.True(t, result.Valid)
	require.Len(t, result.Results, 3)
}
