package cli

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookturn/hookturn/internal/secret"
	"github.com/hookturn/hookturn/internal/signature"
)

// verifyTool is the command verify-signature.
type verifyTool struct {
	frame

	headers       []string
	scheme        string
	body, at      string
	secrets       []string
	anyTimestamps bool
}

const capturedMax = 16 << 20 // bytes of a captured body

func verifySignatureCommand() *cobra.Command {
	var v verifyTool
	cmd := &cobra.Command{
		Use:   "verify-signature",
		Short: "Check the signature of a captured request; exit with status 4 when it is not valid",
		Example: `  starter verify-signature --secret example --header 'X-Hub-Signature: sha1=…' --body request.json
  starter verify-signature --scheme standard --secret whsec_… --header 'webhook-id: e-1' \
    --header 'webhook-timestamp: 1764000000' --header 'webhook-signature: v1,…' --body request.json --at 1764000000`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return v.run(cmd) },
	}
	v.offline(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&v.headers, "header", nil, "header of the request, as in 'Name: value'; repeat the flag for each")
	f.StringVar(&v.scheme, "scheme", "", "hub-sha1, hub-sha256 or standard (default: those whose headers are there)")
	f.StringVar(&v.body, "body", "-", "file with the body, byte for byte; -: standard input")
	f.StringArrayVar(&v.secrets, "secret", nil, "secret; repeat the flag for each valid one")
	f.StringVar(&v.at, "at", "", "when the request was received, RFC 3339 or seconds since 1970 (default: now)")
	f.BoolVar(&v.anyTimestamps, "any-time", false, "accept a timestamp of any age")
	completes(cmd, "scheme", schemeNames()...)
	return cmd
}

func schemeNames() (names []string) {
	for _, scheme := range signature.Schemes() {
		names = append(names, string(scheme))
	}
	return names
}

// verified is the result for one scheme.
type verified struct {
	Scheme signature.Scheme `json:"scheme"`
	Valid  bool             `json:"valid"`
	Reason string           `json:"reason,omitempty"`
}

func (v *verifyTool) run(cmd *cobra.Command) error {
	header, err := v.parseHeaders()
	if err != nil {
		return err
	}
	secrets, err := v.parseSecrets()
	if err != nil {
		return err
	}
	at, err := v.received(header)
	if err != nil {
		return err
	}
	body, err := v.readBody(cmd)
	if err != nil {
		return err
	}
	schemes, err := v.schemes(header)
	if err != nil {
		return err
	}
	result := struct {
		Valid   bool       `json:"valid"`
		Bytes   int        `json:"bytes"`
		Results []verified `json:"results"`
	}{Valid: true, Bytes: len(body)}
	for _, scheme := range schemes {
		one := verified{Scheme: scheme, Valid: true}
		if err := signature.Verify(header, scheme, secrets, at, body); err != nil {
			one.Valid, one.Reason, result.Valid = false, err.Error()+hintOf(err, body), false
		}
		result.Results = append(result.Results, one)
	}
	err = v.print(cmd, result, func(out io.Writer) error {
		var b strings.Builder
		for _, one := range result.Results {
			if one.Valid {
				b.WriteString(string(one.Scheme) + ": valid\n")
			} else {
				b.WriteString(string(one.Scheme) + ": not valid: " + one.Reason + "\n")
			}
		}
		_, err := io.WriteString(out, b.String())
		return err
	})
	if err == nil && !result.Valid {
		return printed(kindInvalid)
	}
	return err
}

// hintOf returns what is wrong most often.
func hintOf(err error, body []byte) string {
	switch {
	case errors.Is(err, signature.ErrMismatch) && bytes.HasSuffix(body, []byte("\n")):
		return ": the body ends with a line break, which an editor may have added"
	case errors.Is(err, signature.ErrMismatch):
		return ": check the secret, and that the body is the bytes that were received, before any parser"
	case errors.Is(err, signature.ErrTooOld), errors.Is(err, signature.ErrTooNew):
		return ": use --at with the time at which the request was received, or --any-time"
	}
	return ""
}

func (v *verifyTool) parseHeaders() (http.Header, error) {
	header := http.Header{}
	for _, line := range v.headers {
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, problem(kindUsage, "invalid --header: expected 'Name: value'")
		}
		header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return header, nil
}

func (v *verifyTool) parseSecrets() ([]secret.Value, error) {
	if len(v.secrets) == 0 {
		return nil, problem(kindUsage, "missing --secret")
	}
	var secrets []secret.Value
	for _, text := range v.secrets {
		_, key, err := signing(nil, text)
		if err != nil {
			return nil, err
		}
		if key.IsZero() {
			return nil, problem(kindUsage, "invalid --secret: it is empty")
		}
		secrets = append(secrets, key)
	}
	return secrets, nil
}

// received returns the time that the timestamp is compared with.
func (v *verifyTool) received(header http.Header) (time.Time, error) {
	if seconds, err := strconv.ParseInt(header.Get(signature.HeaderTimestamp), 10, 64); v.anyTimestamps && err == nil {
		return time.Unix(seconds, 0), nil
	}
	if v.at == "" {
		return time.Now(), nil
	}
	if seconds, err := strconv.ParseInt(v.at, 10, 64); err == nil {
		return time.Unix(seconds, 0), nil
	}
	at, err := time.Parse(time.RFC3339, v.at)
	if err != nil {
		return at, problem(kindUsage, "invalid --at %q: expected a time such as 2026-11-28T12:00:00Z, or seconds since 1970", v.at)
	}
	return at, nil
}

func (v *verifyTool) readBody(cmd *cobra.Command) ([]byte, error) {
	in := ioOf(cmd).In
	if v.body != "-" {
		file, err := os.Open(v.body)
		if err != nil {
			return nil, problem(kindNotFound, "body: %w", err)
		}
		defer file.Close()
		in = file
	}
	body, err := io.ReadAll(io.LimitReader(in, capturedMax+1))
	if err == nil && len(body) > capturedMax {
		return nil, problem(kindInvalid, "the body is larger than %d bytes", capturedMax)
	}
	return body, err
}

// schemes returns the scheme of the flag, or every scheme whose header is there.
func (v *verifyTool) schemes(header http.Header) ([]signature.Scheme, error) {
	if v.scheme != "" {
		scheme, err := signature.Parse(v.scheme)
		if err != nil {
			return nil, problem(kindUsage, "invalid --scheme: %w", err)
		}
		return []signature.Scheme{scheme}, nil
	}
	names := map[signature.Scheme]string{
		signature.HubSHA1: signature.HeaderHubSHA1, signature.HubSHA256: signature.HeaderHubSHA256,
		signature.Standard: signature.HeaderStandard,
	}
	there := slices.DeleteFunc(signature.Schemes(), func(s signature.Scheme) bool { return header.Get(names[s]) == "" })
	if len(there) == 0 {
		return nil, problem(kindInvalid, "the request does not have a signature: expected one of the headers %s, %s, %s",
			signature.HeaderHubSHA1, signature.HeaderHubSHA256, signature.HeaderStandard)
	}
	return there, nil
}
