package fault

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// contract is section 7 of the contract, word for word. A word may be added at its end of the list; none may change.
const contract = `dns connect tls timeout reset status redirect blocked too_large encoding bad_response rate_limited
	circuit_open gone expired queue_full unknown_bot unknown_step bad_event config script_syntax script_no_main
	script_exception script_crash script_bad_response script_timeout script_cpu script_memory script_forbidden
	sandbox_unavailable outcome_unknown cancelled internal`

// retryable are the words after which another attempt may end better; status is decided by its number.
const retryable = `dns connect timeout reset rate_limited circuit_open sandbox_unavailable internal`

func TestKinds_MatchContract(t *testing.T) {
	t.Parallel()
	var words []string
	for _, k := range Kinds() {
		words = append(words, string(k))
	}
	require.Equal(t, strings.Fields(contract), words)
}

func TestRetryable_Kind(t *testing.T) {
	t.Parallel()
	want := map[Kind]bool{}
	for word := range strings.FieldsSeq(retryable) {
		want[Kind(word)] = true
	}
	for _, k := range Kinds() {
		require.Equal(t, want[k], k.Retryable(), k)
		require.Equal(t, want[k], New(k, "why").Retryable(), k)
	}
	require.False(t, Kind("unheard of").Retryable())
}

func TestRetryable_Status(t *testing.T) {
	t.Parallel()
	want := map[int]bool{408: true, 425: true, 429: true, 500: true, 502: true, 503: true, 504: true}
	for status := range 600 {
		require.Equal(t, want[status], RetryableStatus(status), status)
		f := New(Status, "why")
		f.Status = status
		require.Equal(t, want[status], f.Retryable(), status)
	}
	f := New(TLS, "why")
	f.Status = 503
	require.False(t, f.Retryable(), "the status decides for the word status only")
}

func TestNew_StorableMessage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, want string }{
		"plain":               {"why", "why"},
		"invalid UTF-8":       {"a\xff\xfeb", "a\uFFFDb"},
		"half a rune":         {"a\xc3", "a\uFFFD"},
		"as long as can be":   {strings.Repeat("a", MessageMax), strings.Repeat("a", MessageMax)},
		"too long":            {strings.Repeat("a", MessageMax+1), strings.Repeat("a", MessageMax-3) + "..."},
		"cut inside a rune":   {strings.Repeat("é", MessageMax), strings.Repeat("é", (MessageMax-3)/2) + "..."},
		"grows when repaired": {strings.Repeat("\xffa", MessageMax/2), strings.Repeat("\uFFFDa", (MessageMax-3)/4) + "..."},
	} {
		for _, f := range []*Fault{New(Internal, "%s", c.in), Wrap(Internal, io.EOF, "%s", c.in)} {
			require.Equal(t, c.want, f.Message, name)
			require.LessOrEqual(t, len(f.Message), MessageMax, name)
			require.True(t, utf8.ValidString(f.Error()), name)
		}
	}
}

func FuzzMessages(f *testing.F) {
	f.Add("a\xff")
	f.Add(strings.Repeat("é", MessageMax))
	f.Fuzz(func(t *testing.T, s string) {
		m := New(Internal, "%s", s).Message
		require.True(t, utf8.ValidString(m))
		require.LessOrEqual(t, len(m), MessageMax)
	})
}

func TestOf(t *testing.T) {
	t.Parallel()
	require.Nil(t, Of(nil))

	f := New(DNS, "no such host")
	require.Same(t, f, Of(f))
	require.Same(t, f, Of(fmt.Errorf("call: %w", f)))
	require.Same(t, f, Of(errors.Join(io.EOF, f)))

	cause := errors.New("s3cret: connection string")
	got := Of(fmt.Errorf("open: %w", cause))
	require.Equal(t, Internal, got.Kind)
	require.NotContains(t, got.Error(), "s3cret")
	require.ErrorIs(t, got, cause)
}

func TestWrap_CauseNotInMessage(t *testing.T) {
	t.Parallel()
	f := Wrap(Reset, fmt.Errorf("read https://h/?token=s3cret: %w", io.ErrUnexpectedEOF), "host %s broke off", "h")
	require.ErrorIs(t, f, io.ErrUnexpectedEOF)
	require.Equal(t, "reset: host h broke off", f.Error())
	require.NoError(t, New(Reset, "why").Unwrap())
}

func TestFault_Error(t *testing.T) {
	t.Parallel()
	f := New(Status, "the endpoint failed")
	require.Equal(t, "status: the endpoint failed", f.Error())
	f.Status = 503
	require.Equal(t, "status 503: the endpoint failed", f.Error())
}

func TestFault_JSON(t *testing.T) {
	t.Parallel()
	f := &Fault{Kind: Status, Status: 429, Message: "slow down", RetryAfter: 2 * time.Second, cause: io.EOF}
	text, err := json.Marshal(f)
	require.NoError(t, err)
	require.JSONEq(t, `{"kind":"status","status":429,"message":"slow down","retry_after":2000000000}`, string(text))
	var back Fault
	require.NoError(t, json.Unmarshal(text, &back))
	require.True(t, back.Retryable())
	require.Equal(t, f.RetryAfter, back.RetryAfter)
}
