package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/hookturn/hookturn/internal/bot"
)

// TestReadBody_AsLive: a script that is tried sees the members that it sees in production.
func TestReadBody_AsLive(t *testing.T) {
	t.Parallel()
	plan := bot.Plan{Step: "VERIFY_OTP", Env: map[string]string{"API": "https://x.example"}}
	body, err := readBody("", plan)
	require.NoError(t, err)
	require.JSONEq(t, `{"step":"VERIFY_OTP","event":"API_INTEGRATION","conversation_no":0,"conversation_details":{},"entities":{},
		"user":{"user_id":"","user_name":"","full_name":"","device_platform":0,"language_code":"en","auth_id":"","auth_code":""},
		"user_details":{"language_code":"en","name":"Guest User"},"env_variables":{"API":"https://x.example"}}`, body)

	file := filepath.Join(t.TempDir(), "event.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"user_data":{"user_name":"ann"},"entities":{"otp":[{"entity_value":"1"}]},"event":"X"}`), 0o600))
	body, err = readBody(file, plan)
	require.NoError(t, err)
	var got map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(body), &got))
	require.JSONEq(t, `"X"`, string(got["event"]))
	require.JSONEq(t, `"VERIFY_OTP"`, string(got["step"]))
	require.JSONEq(t, `{"otp":[{"entity_value":"1"}]}`, string(got["entities"]))
	require.JSONEq(t, `{"user_id":"","user_name":"ann","full_name":"","device_platform":0,"language_code":"en","auth_id":"","auth_code":""}`,
		string(got["user"]))
	require.NotContains(t, got, "user_data")

	require.NoError(t, os.WriteFile(file, []byte(`[]`), 0o600))
	_, err = readBody(file, plan)
	require.ErrorContains(t, err, "expected a JSON object")
}

// TestPrintValue_KeepsDigits checks that the body of a script is printed as it was written, only indented.
func TestPrintValue_KeepsDigits(t *testing.T) {
	t.Parallel()
	value := []byte(`{"statusCode":200,"body":" {\"z\":12345678901234567890,\"a\":[1.10,\"<\\u00fc>\"]}\n"}`)
	for output, want := range map[format]string{
		formatText: "{\n  \"z\": 12345678901234567890,\n  \"a\": [\n    1.10,\n    \"<\\u00fc>\"\n  ]\n}\n",
		formatJSON: `{"body":{"z":12345678901234567890,"a":[1.10,"<\u00fc>"]},"status":200}` + "\n",
	} {
		var out bytes.Buffer
		cmd := &cobra.Command{}
		cmd.SetOut(&out)
		cmd.SetErr(io.Discard)
		require.NoError(t, printValue(cmd, &frame{output: output}, value))
		require.Equal(t, want, out.String())
	}
}
